"""The stage that looks at a dataset and proposes a format for it."""

from __future__ import annotations

from typing import Any, override

from pisft.stages.base import Node, Output, Stage


class InspectDataset(Stage[str]):
    """Draws a page about a dataset and proposes its format."""

    name = "inspect_dataset"
    outputs = (
        Output("data/{name}/inspection.html", "what the dataset holds, on a page", dvc=None),
        Output("data/{name}/inspection.yaml", "the format that is proposed for it", dvc=None),
    )
    record = "data/{name}/inspection.provenance.json"
    named = "a dataset"

    @override
    def parents(self, subject: str) -> list[Node]:
        return [Node("make_dataset", subject)]

    @override
    def slice(self, subject: str) -> dict[str, Any]:
        return {"dataset": subject}
