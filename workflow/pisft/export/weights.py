"""Converts weights to lerobot's layout without loading them into memory: start from `copy_weights`.

A safetensors file is eight bytes of length, a JSON header (name → dtype, shape, offsets), and the tensors' bytes. Only
the header has names, so it is rewritten and the bytes are copied; no model is needed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pisft.export.checkpoint import ExportError
from pisft.model.weights import EMBED, EMBEDDING

CHUNK = 1 << 24  # bytes


def lerobot_header(header: dict[str, Any]) -> dict[str, Any]:
    """Convert a safetensors header from openpi's layout to lerobot's.

    The same tensors at the same offsets with a leading `model.`, and the embedding once more, at the end, under its own
    name. `header` is without `__metadata__`.
    """
    first, end = header[EMBED]["data_offsets"]
    total = max(entry["data_offsets"][1] for entry in header.values())
    renamed = {f"model.{name}": entry for name, entry in header.items()}
    return renamed | {f"model.{EMBEDDING}": header[EMBED] | {"data_offsets": [total, total + end - first]}}


def copy_weights(source: Path, target: Path) -> None:
    """Copy `source`, in openpi's layout, to `target` in lerobot's, a few megabytes at a time."""
    _check(source)
    with source.open("rb") as stored, target.open("wb") as file:
        length = int.from_bytes(stored.read(8), "little")
        header = json.loads(stored.read(length))
        metadata = header.pop("__metadata__", {"format": "pt"})
        text = json.dumps({"__metadata__": metadata} | lerobot_header(header), separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the format aligns tensors to eight bytes
        file.write(len(text).to_bytes(8, "little") + text)
        shutil.copyfileobj(stored, file, CHUNK)
        first, end = header[EMBED]["data_offsets"]
        stored.seek(8 + length + first)
        while first < end:
            chunk = stored.read(min(CHUNK, end - first))
            file.write(chunk)
            first += len(chunk)


def _check(source: Path) -> None:
    try:
        with safe_open(source, "np") as stored:
            names = set(stored.keys())
    except (OSError, SafetensorError) as error:
        raise ExportError(f"{source}: cannot be read as safetensors: {error}") from error
    if EMBED not in names:
        raise ExportError(f"{source}: holds no {EMBED}; expected weights in openpi's layout, as pi-sft writes them")
