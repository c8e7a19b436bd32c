"""The stage that writes a checkpoint as openpi and RLinf load it."""

from __future__ import annotations

from typing import Any, override

from pisft.config.experiment import Resolved
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage


class ExportOpenpi(ExperimentStage):
    """Writes the checkpoint as a policy of openpi and RLinf."""

    name = "export_openpi"
    outputs = (
        Output("results/{name}/export/openpi/model.safetensors", "the same as openpi and RLinf load it", dvc=None),
    )

    @override
    def parents(self, subject: Resolved) -> list[Node]:
        return [Node("train", subject.name)]

    @override
    def slice(self, subject: Resolved) -> dict[str, Any]:
        datasets = [{"name": use.name, "repo": getattr(use.origin, "repo", None)} for use in subject.datasets]
        return {"datasets": datasets, "asset_id": subject.format.asset_id}
