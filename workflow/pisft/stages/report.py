"""The stage that draws an experiment's page."""

from __future__ import annotations

from typing import Any, override

from pisft.config.experiment import Resolved
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage, datasets


class Report(ExperimentStage):
    """Draws one page with all of an experiment."""

    name = "report"
    is_page = True
    outputs = (Output("results/{name}/report.html", "one page with all of it"),)

    @override
    def parents(self, subject: Resolved) -> list[Node]:
        of_experiment = [Node(stage, subject.name) for stage in ("norm_stats", "train", "evaluate")]
        return [*datasets(subject), *of_experiment]

    @override
    def slice(self, subject: Resolved) -> dict[str, Any]:
        return subject.model_dump(mode="json", by_alias=True, exclude={"cluster", "logging"})
