"""Checkpoints as other projects load them. Start from `lerobot.export` and `openpi.export`."""
