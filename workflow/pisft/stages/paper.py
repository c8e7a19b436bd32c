"""The stage that makes a paper's table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, override

from pisft.config import load_paper
from pisft.config.experiment import Resolved
from pisft.config.paper import Paper as PaperConfig
from pisft.stages.base import Node, Output, Stage, subject


class Members(NamedTuple):
    """A paper, and its experiments."""

    paper: PaperConfig
    experiments: list[Resolved]


def read(name: str, root: Path) -> Members:
    """What config/papers/<name>.yaml says, and the experiments that it names."""
    paper = load_paper(name, root)
    return Members(paper, [subject(Node("resolve", exp), root) for exp in paper.experiments])


class Paper(Stage[Members]):
    """Compares the results of a paper's experiments with the published ones."""

    name = "paper"
    outputs = (
        Output("results/papers/{name}/table.csv", "a paper's results compared with the published ones"),
        Output("results/papers/{name}/report.html", "the same as a page"),
    )
    record = "results/papers/{name}/provenance.json"
    named = "a paper"
    read = staticmethod(read)

    @override
    def parents(self, subject: Members) -> list[Node]:
        return [Node("evaluate", exp) for exp in subject.paper.experiments]

    @override
    def slice(self, subject: Members) -> dict[str, Any]:
        published = {
            exp.name: exp.model_dump(mode="json", include={"published"})["published"] for exp in subject.experiments
        }
        return {"paper": subject.paper.model_dump(mode="json"), "published": published}
