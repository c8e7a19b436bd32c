"""Training states and checkpoints on disk. Start from `saving.Saver`."""
