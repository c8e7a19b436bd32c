"""What others load, made from a checkpoint: start from `lerobot.export` and `openpi.export`."""
