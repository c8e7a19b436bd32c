"""Evaluates a policy on held-out demonstrations and in a simulator. Start from `run.evaluate`."""
