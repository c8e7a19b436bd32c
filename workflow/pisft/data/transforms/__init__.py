"""Converts a dataset's values to model inputs, and a policy's actions back. Start from `format.Format`."""
