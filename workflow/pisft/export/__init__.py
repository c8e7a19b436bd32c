"""Exports a checkpoint to formats that other software loads: start from `lerobot.export` and `openpi.export`."""
