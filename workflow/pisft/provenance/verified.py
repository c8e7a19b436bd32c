"""What an artefact is made from is what its record says, to the byte. Start from `verify(node, outputs)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pisft.records.base import FileFacts
from pisft.records.checkpoint import CheckpointIndex
from pisft.stages import Node, ProvenanceError
from pisft.verified import first_damaged

NOTES = Path(".snakemake/pisft/verified")  # of this machine; as lost as `.snakemake/` may be


def verify(node: Node, outputs: Mapping[str, FileFacts], root: Path = Path()) -> None:
    """Raise `ProvenanceError` unless each of the `outputs` of `node`, which its record lists, is what it was."""
    names = [node.target] if node.definition.verified_by_readers else outputs
    files = {name: (root / name, outputs[name].sha256) for name in names}
    if damaged := first_damaged(files, root / NOTES / f"{node.stage}/{node.name}.json"):
        name, found = damaged
        what = f"is not what was built: its sha256 is {found[:12]}…" if found else "is missing"
        raise ProvenanceError(
            f"{name}: {what}; {node.provenance} says {files[name][1][:12]}…; restore it (such as "
            f"by dvc checkout), or build it again: remove {node.provenance}, then snakemake {node.target}"
        )


def verify_checkpoint(name: str, root: Path, index: CheckpointIndex) -> None:
    """Raise `ProvenanceError` unless the weights in `results/<name>/checkpoint/`, and what goes with them, are what
    `index`, the content of checkpoint.json, says."""
    outputs = {f"results/{name}/checkpoint/{file}": facts for file, facts in index.files.items()}
    verify(Node("train", name), outputs, root)
