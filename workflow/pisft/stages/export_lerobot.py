"""The stage that writes a checkpoint as lerobot loads it."""

from __future__ import annotations

from typing import Any, override

from pisft.config.experiment import Resolved
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage


class ExportLerobot(ExperimentStage):
    """Writes the checkpoint as a policy of lerobot."""

    name = "export_lerobot"
    outputs = (Output("results/{name}/export/lerobot/config.json", "the checkpoint as lerobot loads it", dvc=None),)

    @override
    def parents(self, subject: Resolved) -> list[Node]:
        return [Node("train", subject.name)]

    @override
    def slice(self, subject: Resolved) -> dict[str, Any]:
        loop = subject.eval.closed_loop
        return {"replan_steps": loop.replan_steps if loop else None}
