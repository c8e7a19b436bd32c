"""The stage that trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any, override

from pisft.architecture.memory import GIB, estimate
from pisft.config.experiment import Resolved
from pisft.config.finetune import Lora
from pisft.config.model import BaseWeights
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage, base_weights, datasets, datasets_slice, model_slice
from pisft.stages.source import Source

HOW = {"log_every", "validate_every", "save_every", "keep_every"}  # how often: no weight depends on it


class Train(ExperimentStage):
    """Trains from wherever an earlier run was interrupted to the final checkpoint."""

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

    @override
    def parents(self, subject: Resolved) -> list[Node]:
        return [*datasets(subject), Node("norm_stats", subject.name), *base_weights(subject)]

    @override
    def shortcuts(self, subject: Resolved) -> list[Node]:
        if not subject.cluster.frame_store:
            return []
        views = [f"{key}.{subject.model.image_size}" for key in subject.format.cameras.values()]
        stores = [f"{use.name}/frames/{view}" for use in subject.datasets for view in dict.fromkeys(views)]
        return [Node("make_frames", store) for store in stores]

    @override
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

    @override
    def cost(self, subject: Resolved) -> str | None:
        cluster, base = subject.cluster, subject.model.base
        gpus = cluster.num_nodes * cluster.gpus_per_node
        needed = estimate(subject, gpus)
        where = f"trains on {gpus} GPUs" if gpus > 1 else "trains on one GPU, or without one on the CPU"
        where += f" of {cluster.num_nodes} nodes" if cluster.num_nodes > 1 else ""
        known = [f"{where}, about {needed.device / GIB:.1f} GiB each", f"{needed.disk / GIB:.0f} GiB of disk"]
        known += [f"downloads {base.repo} at {base.revision}"] if isinstance(base, BaseWeights) and base.repo else []
        if isinstance(base, BaseWeights) and base.path and not Path(base.path).expanduser().exists():
            known.append(f"its base weights are missing: {base.path}")
        return ", ".join([*known, f"for {subject.train.steps:,} steps of {subject.train.global_batch_size} samples"])

    @override
    def warning(self, subject: Resolved) -> str | None:
        return subject.split.without_validation or None

    @override
    def sources(self, subject: Resolved, root: Path) -> dict[str, Source]:
        found, base = {}, subject.model.base
        if isinstance(base, BaseWeights) and base.path is not None:
            found["base"] = Source.at(base.path, root)
        if isinstance(subject.finetune, Lora) and subject.finetune.adapter is not None:
            found["adapter"] = Source.at(subject.finetune.adapter, root)
        return found
