"""The stage that makes a sweep's table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, override

from pisft.config import sweep_members
from pisft.stages.base import Node, Output, Stage

Members = dict[str, dict[str, Any]]  # experiment → the values that it has


class Sweep(Stage[Members]):
    """Adds up what the experiments of a sweep came to."""

    name = "sweep"
    outputs = (
        Output("results/sweeps/{name}/table.csv", "a row for each combination of values over its seeds", dvc=None),
        Output("results/sweeps/{name}/runs.csv", "a row for each experiment", dvc=None),
    )
    record = "results/sweeps/{name}/provenance.json"
    named = "a sweep"

    @staticmethod
    @override
    def read(name: str, root: Path) -> Members:
        return sweep_members(name, root)

    @override
    def parents(self, subject: Members) -> list[Node]:
        return [Node("evaluate", exp) for exp in subject]

    @override
    def slice(self, subject: Members) -> dict[str, Any]:
        return {"members": subject}
