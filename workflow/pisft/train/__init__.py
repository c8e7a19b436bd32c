"""Trains one experiment. Start from `loop.train`."""
