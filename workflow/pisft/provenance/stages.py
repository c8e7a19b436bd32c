"""The artefacts: what there is, which script makes it and from what, and where it lies. Start from `STAGES`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from pisft.errors import PisftError
from pisft.names import shown, why_no_key, why_no_name
from pisft.provenance import slices


class ProvenanceError(PisftError):
    """An artefact without a record of what it was made from."""


class Node(NamedTuple):
    """One artefact: a stage of an experiment, a dataset, (`stage == "inspection"`) what was seen in one,
    (`stage == "base"`) a model's converted base weights, (`stage == "frames"`) a frame store, named
    `<dataset>/frames/<camera>.<pixels>`, the table of a paper or a sweep, or a diff, named `<a>..<b>`."""

    stage: str
    name: str

    @property
    def target(self) -> str:
        """The file that is asked for, relative to the project's root."""
        return STAGES[self.stage].target.format(name=self.name)

    @property
    def provenance(self) -> str:
        """The file that says what the artefact was made from; written last."""
        if self.stage == "inspection":
            return f"data/{self.name}/inspection.provenance.json"
        if self.stage in ROOTS + OF_DATASETS + SETS:
            return f"{self.target.rpartition('/')[0]}/provenance.json"
        return f"results/{self.name}/provenance/{self.stage}.json"

    @property
    def machine(self) -> str:
        """The file that says on what it was made: of no key, and in nobody's diff."""
        return "machine".join(self.provenance.rsplit("provenance", 1))


@dataclass(frozen=True)
class Stage:
    """`parents` are stages of the same experiment; "dataset" stands for all of its datasets, "base" for what its base
    weights come from and "base_stats" for their statistics, where there are any."""

    script: str
    target: str
    slice: Any
    parents: tuple[str, ...] = ()


STAGES = {
    "dataset": Stage("make_dataset.py", "data/{name}/manifest.json", None),
    "frames": Stage("make_frames.py", "data/{name}/index.json", slices.frames, ("dataset",)),
    "inspection": Stage("inspect_dataset.py", "data/{name}/inspection.html", slices.inspection, ("dataset",)),
    "base": Stage("convert.py", "data/base/{name}/model.safetensors", None),
    "config": Stage("resolve.py", "results/{name}/config.json", slices.config),
    "norm_stats": Stage(
        "norm_stats.py", "results/{name}/norm_stats.json", slices.norm_stats, ("dataset", "base_stats")
    ),
    "checkpoint": Stage(
        "train.py", "results/{name}/checkpoint.json", slices.checkpoint, ("dataset", "norm_stats", "base")
    ),
    "eval": Stage("evaluate.py", "results/{name}/eval.json", slices.evaluation, ("dataset", "checkpoint")),
    "export_lerobot": Stage(
        "export.py", "results/{name}/export/lerobot/config.json", slices.export_lerobot, ("checkpoint",)
    ),
    "export_openpi": Stage(
        "export.py", "results/{name}/export/openpi/model.safetensors", slices.export_openpi, ("checkpoint",)
    ),
    "report": Stage(
        "report.py",
        "results/{name}/report.html",
        slices.report,
        ("dataset", "norm_stats", "checkpoint", "eval"),
    ),
    "paper": Stage("paper.py", "results/papers/{name}/table.csv", slices.paper, ("eval",)),
    "sweep": Stage("sweep.py", "results/sweeps/{name}/table.csv", slices.sweep, ("eval",)),
    "diff": Stage("diff.py", "results/diff/{name}/diff.json", None, ("config", "norm_stats", "checkpoint", "eval")),
}


ROOTS = ("dataset", "base")  # of no experiment, and made from no other artefact
OF_DATASETS = ("frames", "inspection")  # of no experiment, and made from a dataset
SETS = ("paper", "sweep", "diff")  # of several experiments, and made from each one's `parents`
NAMES = {"frames": "([^/]+/frames/[^/]+)", "diff": r"([^/]+\.\.[^/]+)"}  # of those that are no single word


KINDS = {"dataset": "a dataset", "inspection": "a dataset", "base": "a model", "paper": "a paper", "sweep": "a sweep"}


def check_name(node: Node) -> None:
    """Raise `ProvenanceError` unless each part of the name of `node` may be a folder's."""
    kind = KINDS.get(node.stage, "an experiment")
    parts, view = [node.name], None
    if node.stage == "diff":
        parts = node.name.split("..", 1)
    elif node.stage == "frames":
        kind, (parts[0], _, view) = "a dataset", node.name.split("/")
    for part in parts:
        if reason := why_no_name(part):
            raise ProvenanceError(f"{shown(part)} cannot name {kind}: {reason}")
    if view is not None and (reason := why_no_key(view)):
        raise ProvenanceError(f"{shown(view)} cannot name a camera's frames: {reason}")


def node_of(target: str) -> Node:
    """The artefact whose file is `target`, a path relative to the root; raises `ProvenanceError`."""
    for stage, definition in STAGES.items():
        pattern = re.escape(definition.target).replace(re.escape("{name}"), NAMES.get(stage, "([^/]+)"))
        if match := re.fullmatch(pattern, target):
            node = Node(stage, match[1])
            check_name(node)
            return node
    known = ", ".join(definition.target.replace("{name}", "<name>") for definition in STAGES.values())
    raise ProvenanceError(f"{shown(target)}: is no artefact; expected one of {known}")
