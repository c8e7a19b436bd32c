"""What a Snakefile asks of the graph: the inputs of the rule that makes a stage. Start from `ingredients`."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient

from pisft.errors import PisftError
from pisft.provenance.graph import Node, by_size, made_from, resolved, stamp, state
from pisft.provenance.stages import check_name

_by_size: dict[str, int] = {}
_warnings: dict[str, str] = {}  # by experiment


def say_what_was_not_read() -> None:
    """After a dry run, say which files were taken for what they were by their size, and what training will warn of."""
    if {"-n", "--dry-run", "--dryrun"} & set(sys.argv):
        atexit.register(_say)


def _say() -> None:
    for experiment, warning in sorted(_warnings.items()):
        print(f"{experiment}: {warning}", file=sys.stderr)
    if _by_size:
        print(
            f"{len(_by_size)} files ({sum(_by_size.values()) / 2**20:.0f} MiB) were compared by size only; whoever "
            "reads one verifies it first, and make verify reads all",
            file=sys.stderr,
        )


def ingredients(stage: str) -> Callable[[Any], dict[str, Any]]:
    """Input function of the rule that makes `stage`: a stamp, and the artefacts that it is made from.

    What decides is the stamp, newer than the output exactly when the artefact is not what would be made now. Where
    it is fresh, the other inputs are ancient and what is not there is not asked for; where it is stale, they are
    plain, since Snakemake does not look at a job's own reasons once a job above it in the graph has some. A rule's
    wildcard is the artefact's name; a diff's two are `<a>..<b>`.
    """

    def inputs(wildcards: Any) -> dict[str, Any]:
        node = Node(stage, "..".join(wildcards))
        try:
            check_name(node)
            fresh = state(node) is None
            if fresh:
                _by_size.update(by_size(node))
            elif stage == "checkpoint" and (warning := resolved(node.name).split.without_validation):
                _warnings[node.name] = warning
            files: dict[str, Any] = {"stamp": stamp(node, fresh)}
            for parent in made_from(node):
                if not fresh:
                    files.setdefault(parent.stage, []).append(parent.target)
                elif Path(parent.target).exists():
                    files.setdefault(parent.stage, []).append(ancient(parent.target))
        except PisftError as error:
            raise WorkflowError(str(error)) from None
        return files

    return inputs
