"""A paper: a set of experiments that are reproduced together. Start from `load_paper`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pisft.config import smoke
from pisft.config.base import Strict, find_named, read_yaml


class Paper(Strict):
    """Experiments whose results make one table. What was published stands in each experiment's `published`."""

    title: str
    experiments: dict[str, str] = Field(
        min_length=1, description="a file in config/experiments, or one of a sweep, and what the table calls it"
    )
    note: str | None = Field(None, description="what a reader of the table should know")


def load_paper(name: str, root: str | Path = ".") -> Paper:
    """Read `config/papers/<name>.yaml`; `<paper>~smoke` has each experiment made tiny. Raises `ConfigError`."""
    path = find_named(Path(root) / "config/papers", smoke.original(name), f"results/papers/{name}", "paper")
    paper = read_yaml(path, Paper)
    if not smoke.is_smoke(name):
        return paper
    tiny = {experiment + smoke.SUFFIX: label for experiment, label in paper.experiments.items()}
    return paper.model_copy(update={"experiments": tiny})


def papers(root: str | Path = ".") -> list[str]:
    """Return the names of all papers."""
    return sorted(path.stem for path in (Path(root) / "config/papers").glob("*.yaml"))
