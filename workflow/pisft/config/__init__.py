"""Typed configuration. Imports no torch, so that a Snakefile can import it quickly."""

from pisft.config.base import ConfigError
from pisft.config.experiment import Resolved
from pisft.config.files import experiment_path, load_dataset, read_resolved, sweep_members
from pisft.config.model import ModelConfig
from pisft.config.paper import Paper, load_paper, papers
from pisft.config.resolution import resolve

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
