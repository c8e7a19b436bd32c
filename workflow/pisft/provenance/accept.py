"""Accepting that changed code makes the same results (a refactoring). Start from `accept(node)`."""

from __future__ import annotations

from pathlib import Path

from pisft.canonical import write_json
from pisft.provenance.freshness import state
from pisft.provenance.key import differences, expected
from pisft.provenance.record import recorded
from pisft.stages import Node, ProvenanceError, node_of


def accept(node: Node, root: Path = Path()) -> bool:
    """Record that `node`, whose code changed, is what the new code would make; True where there was anything to do.

    Call it along a `lineage`, since a parent's new key is part of the child's. One that is not here, such as data that
    were left elsewhere, is passed over. Raises `ProvenanceError` where something besides code and parents' keys
    differs, or the artefact is damaged.
    """
    reason = state(node, root)
    if reason is None or not (root / node.target).is_file():
        return False
    record, now = recorded(node, root), expected(node, root)
    if record is None or record["key"] == now["key"]:
        if record and not all((root / path).is_file() for path in record["outputs"]):
            return False
        raise ProvenanceError(f"{node.target}: cannot be accepted: {reason}")
    equivalent = {
        f"parents {parent} changed"
        for parent, key in record["parents"].items()
        if key in (recorded(node_of(parent), root) or {}).get("accepted_from", [])
    }
    refused = [line for line in differences(record, now) if not line.startswith("code ") and line not in equivalent]
    if refused:
        raise ProvenanceError(f"{node.target}: cannot be accepted, since not only code changed: {'; '.join(refused)}")
    accepted = {"accepted_from": [*record.get("accepted_from", []), record["key"]]}
    write_json(root / node.provenance, now | {"outputs": record["outputs"]} | accepted)
    return True
