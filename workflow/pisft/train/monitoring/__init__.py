"""A run's metrics, speed, traces, signals and diagnosis. Start from `metrics.Metrics`."""
