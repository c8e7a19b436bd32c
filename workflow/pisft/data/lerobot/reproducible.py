"""Rewrites lerobot's files so that the same dataset always has the same bytes. Start from `same_bytes`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from pisft.canonical import for_others, read_json, write_json
from pisft.data.errors import DataError
from pisft.data.lerobot.vectors import read_table


def same_bytes(root: Path) -> None:
    """Make a complete LeRobot v3.0 dataset at `root` reproducible to the byte.

    Sorts the keys of the statistics (lerobot's order is that of a set of strings, which differs by process), removes
    the fingerprint from the metadata of image tables (`datasets` hashes the name of a temporary file into it), and sets
    the permissions of videos (lerobot joins them in temporary files and keeps those files' permissions).
    """
    stats = root / "meta/stats.json"
    if stats.is_file():
        write_json(stats, read_json(stats, DataError))
    for path in root.rglob("*.mp4"):
        for_others(path)
    for path in root.glob("data/*/*.parquet"):
        _without_fingerprint(path)


def _without_fingerprint(path: Path) -> None:
    schema = pq.read_schema(path)
    metadata = dict(schema.metadata or {})
    described = json.loads(metadata.get(b"huggingface", b"{}"))
    if "fingerprint" not in described:
        return
    described.pop("fingerprint")
    metadata[b"huggingface"] = json.dumps(described).encode()
    pq.write_table(read_table(path).replace_schema_metadata(metadata), path)
