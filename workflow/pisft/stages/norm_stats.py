"""The stage that computes normalisation statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any, override

from pisft.config.experiment import Resolved
from pisft.config.model import BaseWeights
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage, datasets, datasets_slice, model_slice
from pisft.stages.source import Source

FORMAT = {"state", "actions", "delta_mask", "adapt_to_pi", "pad_to", "action_horizon", "normalisation", "features"}


class NormStats(ExperimentStage):
    """Computes statistics over the training episodes, or takes those of the base weights."""

    name = "norm_stats"
    outputs = (
        Output("results/{name}/norm_stats.json", "normalisation statistics in openpi's schema"),
        Output("results/{name}/norm_stats.report.json", "how healthy they are"),
        Output("results/{name}/norm_stats.report.png", "the same as a figure"),
    )

    @override
    def parents(self, subject: Resolved) -> list[Node]:
        return [*datasets(subject), *_of_base(subject)]

    @override
    def slice(self, subject: Resolved) -> dict[str, Any]:
        content = {
            "format": subject.format.model_dump(mode="json", include=FORMAT),
            "datasets": datasets_slice(subject),
            "split": subject.split.model_dump(mode="json"),
            "norm_stats": subject.norm_stats.model_dump(mode="json", by_alias=True),
        }
        if subject.norm_stats.source == "base":
            repos = [getattr(use.origin, "repo", None) for use in subject.datasets]
            content |= {"base": model_slice(subject.model)["base"], "looked_up": [subject.format.asset_id, *repos]}
        return content

    @override
    def sources(self, subject: Resolved, root: Path) -> dict[str, Source]:
        base = subject.model.base
        if subject.norm_stats.source != "base" or not isinstance(base, BaseWeights) or not (base.path or base.orbax):
            return {}
        return {"base": Source.at(str(base.statistics_folder()), root)}


def _of_base(exp: Resolved) -> list[Node]:
    """The statistics of the experiment whose checkpoint the base weights are, where those are asked for."""
    base = exp.model.base
    if exp.norm_stats.source != "base" or not isinstance(base, BaseWeights) or base.experiment is None:
        return []
    return [Node("norm_stats", base.experiment)]
