"""Typed configuration. Knows nothing of torch, so that a Snakefile can import it in no time."""

from pisft.config.base import ConfigError
from pisft.config.experiment import Resolved, experiment_path, load_dataset, read_resolved, resolve
from pisft.config.model import ModelConfig

__all__ = [
    "ConfigError",
    "ModelConfig",
    "Resolved",
    "experiment_path",
    "load_dataset",
    "read_resolved",
    "resolve",
]
