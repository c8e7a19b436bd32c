"""checkpoint.json, as a type. Start from `CheckpointIndex.read_from(run_dir)`."""

from __future__ import annotations

from typing import ClassVar

from pisft.arithmetic import Arithmetic
from pisft.records.base import FileFacts, MadeFrom, Versioned


class CheckpointIndex(Versioned):
    """The checkpoint of a run: `key` is that of what it was made from, `files` are those of checkpoint/, `metrics` is
    metrics.csv; `arithmetic` is what was computed with. Losses are None where none were measured."""

    kind: ClassVar[str] = "checkpoint"
    name_of_file: ClassVar[str] = "checkpoint.json"

    key: str
    step: int
    val_loss: float | None
    train_loss: float | None = None
    files: dict[str, FileFacts]
    metrics: FileFacts
    arithmetic: Arithmetic | None = None
    provenance: MadeFrom | None = None
