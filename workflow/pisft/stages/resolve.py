"""The stage that spells an experiment out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, override

from pisft.config import resolve
from pisft.config.experiment import Resolved
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage


class Resolve(ExperimentStage):
    """Looks every name of an experiment up and spells every default out."""

    name = "resolve"
    outputs = (
        Output("results/{name}/config.json", "the experiment with every name looked up and every default spelled out"),
    )

    @override
    def built_from(self, name: str, root: Path) -> Resolved:
        return resolve(name, root)

    @override
    def configuration(self, name: str) -> list[Node]:
        return []

    @override
    def slice(self, subject: Resolved) -> dict[str, Any]:
        return subject.model_dump(mode="json", by_alias=True)
