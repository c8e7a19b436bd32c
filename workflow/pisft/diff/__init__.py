"""Compares two experiments: inputs, statistics, weights, losses and episodes. Start from `measure.measure`."""
