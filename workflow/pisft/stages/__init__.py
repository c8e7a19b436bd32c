"""The stages of the graph, a file each. Start from `Stage` in base.py; `STAGES` holds them all by name.

A stage that is added is found here by itself: its file, `scripts/<name>.py` and `rules/<name>.smk` are all it needs,
and the line of the Snakefile that includes the rule.
"""

import pkgutil
from importlib import import_module

from pisft.stages.base import STAGES, Node, Output, ProvenanceError, Stage, check_name, node_of

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["STAGES", "Node", "Output", "ProvenanceError", "Stage", "check_name", "node_of"]
