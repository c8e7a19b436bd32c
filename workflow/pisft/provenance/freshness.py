"""Whether an artefact on disk is what would be made now. Start from `state(node)`."""

from __future__ import annotations

from pathlib import Path

from pisft.provenance.key import differences, expected
from pisft.provenance.record import altered, recorded
from pisft.stages import Node

SMALL = 1 << 18  # bytes of a file that is hashed whenever freshness is asked for, as every JSON is


def state(node: Node, root: Path = Path()) -> str | None:
    """None where `node` is fresh, else why it is stale, in a few words."""
    if not (root / node.target).is_file():
        return "missing"
    record = recorded(node, root)
    if record is None:
        return "no record of what it was made from"
    for path, facts in record.outputs.items():
        try:
            size = (root / path).stat().st_size
        except OSError:
            return f"{path} is missing"
        if size != facts.size:
            return f"{path} has {size} bytes, not {facts.size}"
        if (size <= SMALL or path.endswith(".json")) and altered(root / path, facts):
            return f"{path} was changed by hand: its sha256 is not what was recorded"
    now = expected(node, root)
    if record.key != now.key:
        return "; ".join(differences(record, now)) or "made from something else"
    return None


def by_size(node: Node, root: Path = Path()) -> dict[str, int]:
    """The files of `node` that `state` compared by their size alone, path → bytes."""
    record = recorded(node, root)
    outputs = record.outputs.items() if record else ()
    return {path: facts.size for path, facts in outputs if facts.size > SMALL and not path.endswith(".json")}
