"""The files under config/, found by name and read. Raises `ConfigError` with the nearest valid name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pisft.config import smoke
from pisft.config.base import ConfigError, find_named, load_yaml, parse, read_yaml
from pisft.config.dataset import DatasetConfig
from pisft.config.experiment import Resolved
from pisft.config.extends import inherit
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.simulators import SimulatorConfig, SimulatorFile
from pisft.config.sweep import members, sweep_of


def experiment_path(name: str, root: str | Path = ".") -> Path:
    """Return the file of experiment `name`; raises `ConfigError` with the nearest valid name if it is unknown."""
    folder = Path(root) / "config/experiments"
    return find_named(folder, sweep_of(name), source=f"results/{name}", key="experiment")


def sweep_members(sweep: str, root: str | Path = ".") -> dict[str, dict[str, Any]]:
    """Return the experiments of a sweep, each with its values; those of `<sweep>~smoke` are tiny.

    Raises `ConfigError`.
    """
    name = smoke.original(sweep)
    path = find_named(Path(root) / "config/experiments", name, source=f"results/sweeps/{sweep}", key="sweep")
    found = members(name, inherit(path), path)
    if not found:
        raise ConfigError(f"{path}: sweep: is missing; ask for results/{sweep}/eval.json")
    return {member + smoke.SUFFIX * smoke.is_smoke(sweep): values for member, values in found.items()}


def load_dataset(name: str, root: str | Path = ".", source: str = "") -> DatasetConfig:
    """Read `config/datasets/<name>.yaml`; `source` says who asked, for the error.

    `<format>~smoke` is a generated dataset with the format's features.
    """
    source = source or f"data/{name}"
    if smoke.is_smoke(name):
        path = find_named(Path(root) / "config/formats", smoke.original(name), source, "datasets")
        return DatasetConfig(origin=smoke.dataset(read_yaml(path, FormatConfig), str(path)))
    path = find_named(Path(root) / "config/datasets", name, source, "datasets")
    return parse(_wrapped(load_yaml(path)), DatasetConfig, path)


def load_simulator(name: str, root: str | Path, source: str | Path, key: str) -> SimulatorConfig:
    """Read `config/simulators/<name>.yaml`; `source` and `key` say who asked, for the error."""
    path = find_named(Path(root) / "config/simulators", smoke.original(name), source, key)
    content = load_yaml(path)
    whole = parse(_wrapped(content), SimulatorFile, path)
    return (
        parse(_wrapped(smoke.shrink_simulator(content)), SimulatorFile, path) if smoke.is_smoke(name) else whole
    ).origin


def load_model(name: str, root: str | Path = ".", source: str | Path = "") -> ModelConfig:
    """Read `config/models/<name>.yaml`; `source` says who asked, for the error."""
    path = find_named(Path(root) / "config/models", smoke.original(name), source or f"data/base/{name}", "model")
    whole = parse(inherit(path), ModelConfig, path)
    return parse(smoke.shrink_model(inherit(path)), ModelConfig, path) if smoke.is_smoke(name) else whole


def read_resolved(path: str | Path) -> Resolved:
    """Read a `config.json` that `resolve` produced."""
    return read_yaml(path, Resolved)  # JSON is YAML


def _wrapped(content: Any) -> Any:
    """Wrap the file's mapping as {origin: …}, the field that holds the discriminated union."""
    return {"origin": content} if isinstance(content, dict) else content
