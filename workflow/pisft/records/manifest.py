"""manifest.json of a dataset, as a type. Start from `Manifest.read_from(folder)`."""

from __future__ import annotations

from typing import Any, ClassVar

from pisft.records.base import FileFacts, MadeFrom, Versioned


class Manifest(Versioned):
    """A dataset: where it comes from, what it holds, and its files. `made_by` says what brought it here: the commit of
    a hub repository, the seeds of a simulator's episodes, what a conversion left out."""

    kind: ClassVar[str] = "manifest"
    name_of_file: ClassVar[str] = "manifest.json"
    remedy: ClassVar[str] = "fetch or build the dataset again: snakemake {path}"

    name: str
    source: str
    episodes: int
    frames: int
    fps: float
    features: dict[str, Any]
    tasks: list[str]
    made_by: dict[str, Any]
    files: dict[str, FileFacts]
    provenance: MadeFrom | None = None
