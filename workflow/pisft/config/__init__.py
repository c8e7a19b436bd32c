"""Typed configuration. Imports no torch, so that a Snakefile can import it quickly."""

from pisft.config.base import ConfigError
from pisft.config.experiment import Resolved, experiment_path, load_dataset, read_resolved, resolve, sweep_members
from pisft.config.model import ModelConfig
from pisft.config.paper import Paper, load_paper, papers

__all__ = [
    "ConfigError",
    "ModelConfig",
    "Paper",
    "Resolved",
    "experiment_path",
    "load_dataset",
    "load_paper",
    "papers",
    "read_resolved",
    "resolve",
    "sweep_members",
]
