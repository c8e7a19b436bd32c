"""Inspects an unknown dataset and proposes a format to train on it. Start from `look.inspect`."""
