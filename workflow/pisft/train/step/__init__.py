"""What one step is made of: data, batches, loss, optimiser, validation. Start from `objective.py`."""
