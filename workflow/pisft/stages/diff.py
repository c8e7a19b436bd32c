"""The stage that compares two experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any, override

from pisft.stages.base import Node, Output, Stage, check_part

Pair = tuple[str, ...]


class Diff(Stage[Pair]):
    """Says what differs between two experiments. Its artefacts are named `<a>..<b>`."""

    name = "diff"
    outputs = (
        Output("results/diff/{name}/diff.json", "what differs between two experiments", dvc=None),
        Output("results/diff/{name}/diff.html", "the same as a page", dvc=None),
    )
    record = "results/diff/{name}/provenance.json"
    pattern = r"[^/]+\.\.[^/]+"

    @override
    def check_name(self, name: str) -> None:
        for part in name.split("..", 1):
            check_part(part, self.named)

    @staticmethod
    @override
    def read(name: str, root: Path) -> Pair:
        return tuple(dict.fromkeys(name.split("..", 1)))

    @override
    def parents(self, subject: Pair) -> list[Node]:
        return [Node(stage, exp) for exp in subject for stage in ("resolve", "norm_stats", "train", "evaluate")]

    @override
    def slice(self, subject: Pair) -> dict[str, Any]:
        return {}  # its parents say all
