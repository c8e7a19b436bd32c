"""The stages of the graph, a file each. Start from `Stage` in base.py; `STAGES` holds them all by name.

A stage that is added is found here by itself: its file, `scripts/<name>.py` and `rules/<name>.smk` are all it needs,
and the line of the Snakefile that includes the rule.
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from pisft.stages.base import STAGES, Node, Output, ProvenanceError, Stage, check_name, node_of


def _named(kind: type[Stage]) -> Iterator[type[Stage]]:
    for each in kind.__subclasses__():
        if each.name:
            yield each
        yield from _named(each)


for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
STAGES |= {kind.name: kind() for kind in sorted(_named(Stage), key=lambda kind: kind.name)}

__all__ = ["STAGES", "Node", "Output", "ProvenanceError", "Stage", "check_name", "node_of"]
