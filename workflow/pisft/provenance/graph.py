"""What comes before an artefact in the graph. Start from `lineage(node)`."""

from __future__ import annotations

from pathlib import Path

from pisft.stages import Node
from pisft.stages.base import subject


def lineage(node: Node, root: Path = Path()) -> list[Node]:
    """`node` and all that it is made from, what comes first first."""
    stage = node.definition
    order = stage.configuration(node.name)
    for parent in stage.parents(subject(node, root)):
        order += [each for each in lineage(parent, root) if each not in order]
    return order if node in order else [*order, node]


def made_from(node: Node, root: Path = Path()) -> list[Node]:
    """The artefacts that are on disk before `node` is built: its configuration, its parents, and what makes building
    it faster."""
    stage, of = node.definition, subject(node, root)
    return [*stage.configuration(node.name), *stage.parents(of), *stage.shortcuts(of)]
