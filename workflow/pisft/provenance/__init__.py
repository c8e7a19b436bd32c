"""What an artefact was made from, and whether it is still what would be made now. Start from `graph.py`."""
