"""Measures and applies the statistics that normalise states and actions. Start from `norm_stats.compute`."""
