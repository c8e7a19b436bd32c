"""What a Snakefile asks of the graph: the inputs of a rule. Start from `needs` and `stamp`.

What decides whether a job runs is its stamp, an input that is newer than the output exactly when the artefact is not
what would be made now. Where it is fresh, the other inputs are `ancient` and what is not there is not asked for; where
it is stale, they are plain, since Snakemake does not look at a job's own reasons once a job above it has some.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import ancient

from pisft.errors import PisftError
from pisft.provenance.freshness import by_size, state
from pisft.provenance.graph import made_from
from pisft.stages import STAGES, Node, check_name
from pisft.stages.base import subject

_needed: dict[str, set[str]] = {}  # stage → the stages whose artefacts its rule names
_by_size: dict[str, int] = {}
_warnings: dict[str, str] = {}  # by name
_costs: dict[str, str] = {}  # by target


def needs(stage: str, path: str) -> Callable[[Any], list[Any]]:
    """Input function of the rule of `stage`: the files like `path` that an artefact is made from, such as the manifest
    of each of its datasets for `data/{dataset}/manifest.json`. A wildcard here may have any name."""
    pattern = re.sub(r"\{\w+\}", "{name}", path)
    makers = [name for name, other in STAGES.items() if other.target == pattern]
    if not makers:
        raise WorkflowError(f"needs({stage!r}, {path!r}): no stage makes such a file; expected the target of one")
    _needed.setdefault(stage, set()).update(makers)

    def inputs(wildcards: Any) -> list[Any]:
        node = _node(stage, wildcards)
        targets = [parent.target for parent in made_from(node) if parent.stage in makers]
        if _stale(node, Path.cwd()):
            return targets
        return [ancient(target) for target in targets if Path(target).exists()]

    return _told(inputs)


def stamp(stage: str) -> Callable[[Any], str]:
    """Input function of the rule of `stage`: the file that says whether the artefact is fresh. A rule's wildcard is the
    artefact's name; a diff's two are `<a>..<b>`."""

    def inputs(wildcards: Any) -> str:
        node = _node(stage, wildcards)
        stale = _stale(node, Path.cwd())
        missing = {parent.stage for parent in made_from(node)} - _needed.get(stage, set())
        if missing:
            targets = ", ".join(STAGES[name].target for name in sorted(missing))
            raise WorkflowError(f"rules/{stage}.smk: {node.target} is also made from {targets}: name it as an input")
        if stale:
            definition, of = node.definition, subject(node)
            if cost := definition.cost(of):
                _costs[node.target] = cost
            if warning := definition.warning(of):
                _warnings[node.name] = warning
        else:
            _by_size.update(by_size(node))
        return write_stamp(node, fresh=not stale)

    return _told(inputs)


def write_stamp(node: Node, fresh: bool, root: Path = Path()) -> str:
    """A file older than everything where `node` is fresh; where not, newer than it and with content never seen.

    The content counts because Snakemake takes an input whose checksum it knows for unchanged; and each stamp has a
    folder to itself because it lists a folder once and then takes for absent what is written there later.
    """
    path = root / f".snakemake/pisft/{node.stage}/{node.name}/stamp"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("" if fresh else str(time.time_ns()))
    if fresh:
        os.utime(path, (0, 0))
    elif (target := root / node.target).exists():
        newer = max(path.stat().st_mtime, target.stat().st_mtime + 1)
        os.utime(path, (newer, newer))
    return path.relative_to(root).as_posix()


def say_what_was_not_read() -> None:
    """After a dry run, print what the jobs will take, what training will warn of, and which files were compared by
    size."""
    if {"-n", "--dry-run", "--dryrun"} & set(sys.argv):
        atexit.register(_say)


def _say() -> None:
    for target, cost in sorted(_costs.items()):
        print(f"{target}: {cost}", file=sys.stderr)
    for name, warning in sorted(_warnings.items()):
        print(f"{name}: {warning}", file=sys.stderr)
    if _by_size:
        print(
            f"{len(_by_size)} files ({sum(_by_size.values()) / 2**20:.0f} MiB) were compared by size only; each is "
            "hashed before it is read, and make verify hashes all",
            file=sys.stderr,
        )


def _node(stage: str, wildcards: Any) -> Node:
    node = Node(stage, "..".join(wildcards))
    check_name(node)
    return node


@cache
def _stale(node: Node, root: Path) -> bool:
    """Whether `node` is to be made, as it was when it was first asked for in this process."""
    return state(node, root) is not None


def _told(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`function`, whose errors Snakemake tells as they are."""

    def inputs(wildcards: Any) -> Any:
        try:
            return function(wildcards)
        except PisftError as error:
            raise WorkflowError(str(error)) from None

    return inputs
