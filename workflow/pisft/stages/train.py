"""The stage that trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pisft.config.experiment import Lora, Resolved
from pisft.config.model import BaseWeights
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage, base_weights, datasets, datasets_slice, model_slice
from pisft.stages.source import Source

HOW = {"log_every", "validate_every", "save_every", "keep_every"}  # how often: no weight depends on it


class Train(ExperimentStage):
    """Trains from wherever an earlier run was interrupted to the published checkpoint."""

    name = "train"
    outputs = (
        Output("results/{name}/checkpoint.json", "the step, and size and sha256 of each of the checkpoint's files"),
        Output("results/{name}/checkpoint", "`model.safetensors` in openpi's names, with what is needed to use it"),
        Output(
            "results/{name}/metrics.csv",
            "losses, gradient norm and learning rate, by step",
            dvc="plot",
            axes=("step", "loss"),
        ),
    )
    hashes_in_target = True
    locked = False

    def parents(self, subject: Resolved) -> list[Node]:
        return [*datasets(subject), Node("norm_stats", subject.name), *base_weights(subject)]

    def shortcuts(self, subject: Resolved) -> list[Node]:
        if not subject.cluster.frame_store:
            return []
        views = [f"{key}.{subject.model.image_size}" for key in subject.format.cameras.values()]
        stores = [f"{use.name}/frames/{view}" for use in subject.datasets for view in dict.fromkeys(views)]
        return [Node("make_frames", store) for store in stores]

    def slice(self, subject: Resolved) -> dict[str, Any]:
        best = subject.eval.checkpoint == "best"  # those depend on when they were looked at, too
        return {
            "model": model_slice(subject.model),
            "format": subject.format.model_dump(mode="json"),
            "datasets": datasets_slice(subject),
            "split": subject.split.model_dump(mode="json"),
            "finetune": subject.finetune.model_dump(mode="json"),
            "train": subject.train.model_dump(mode="json", exclude=HOW - ({"validate_every"} if best else set())),
            "chosen": subject.eval.checkpoint,
        }

    def sources(self, subject: Resolved, root: Path) -> dict[str, Source]:
        found, base = {}, subject.model.base
        if isinstance(base, BaseWeights) and base.path is not None:
            found["base"] = Source.at(base.path, root)
        if isinstance(subject.finetune, Lora) and subject.finetune.adapter is not None:
            found["adapter"] = Source.at(subject.finetune.adapter, root)
        return found
