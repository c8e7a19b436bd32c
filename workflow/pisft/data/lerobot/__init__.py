"""Reads LeRobot datasets from their folders. Start from `dataset.LeRobotData`."""
