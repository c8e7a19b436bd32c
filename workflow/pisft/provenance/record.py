"""The record of an artefact: what it was made from, and its files. Start from `recorded(node)`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pisft.canonical import files_below
from pisft.records.base import FileFacts, NewerRecordError, RecordError, facts_of
from pisft.records.provenance import Record
from pisft.stages import Node


def recorded(node: Node, root: Path = Path()) -> Record | None:
    """What `node` on disk was made from, or None where no (readable) record is.

    While a build is under way, or after one failed, the previous record stands for as long as each file is,
    to the byte, what it says.
    """
    path = root / node.provenance
    record = read_record(path)
    if record is None:
        record = read_record(previous(path))
        if record is not None and any(altered(root / file, facts) for file, facts in record.outputs.items()):
            return None
    return record


def records(folder: Path) -> Iterator[tuple[Path, dict[str, FileFacts] | None]]:
    """Each record of provenance below `folder`, and the files that it lists, by path; None where it is no JSON.

    Where a build did not end, the previous record. What others have by such a name is left out.
    """
    suffixes = ("provenance.json", "provenance.previous.json")
    paths = {
        path
        for path in files_below(folder)
        if path.name.endswith(suffixes) or (path.parent.name == "provenance" and path.suffix == ".json")
    }
    for path in sorted(paths - {previous(path) for path in paths}):
        if (record := read_record(path)) is not None:
            yield path, record.outputs
        elif not _is_json(path):
            yield path, None


def damage(outputs: Mapping[str, FileFacts]) -> Iterator[str]:
    """A message for each file of a record's `outputs` that is missing or changed, by its sha256."""
    for path, facts in outputs.items():
        if not Path(path).is_file():
            yield f"{path}: is missing"
        elif altered(Path(path), facts):
            yield f"{path}: changed; its sha256 was {facts.sha256[:12]}…"


def unrecorded(node: Node, root: Path) -> str:
    """Why no record of `node` holds."""
    record = read_record(previous(root / node.provenance))
    for path, facts in record.outputs.items() if record else ():
        if altered(root / path, facts):
            return f"{path}: is not what was recorded, and a later build of {node.target} did not end"
    return f"{node.target}: is missing or has no record of what it was made from; expected {node.provenance}"


def previous(path: Path) -> Path:
    """Where the record at `path` stands while a build is under way."""
    return path.with_suffix(".previous.json")


def altered(path: Path, facts: FileFacts) -> bool:
    """Whether the file at `path` is missing or has another size or sha256 than `facts`."""
    try:
        return facts_of(path) != facts
    except OSError:
        return True


def read_record(path: Path) -> Record | None:
    """The record at `path`; None where it is missing, is no record, or has a key that is not the hash of the rest.

    Raises `NewerRecordError`.
    """
    try:
        record = Record.read(path)
    except NewerRecordError:
        raise
    except RecordError:
        return None
    return record if record.is_true else None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True
