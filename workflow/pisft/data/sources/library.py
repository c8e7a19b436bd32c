"""Opens the datasets in `data/`: start from `open_dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources.manifest import describe, verify
from pisft.records.manifest import Manifest


def open_dataset(folder: Path) -> LeRobotData:
    """Open the dataset in `data/<dataset>`; raises `DataError` if its files differ from its manifest's."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        verify(folder / "lerobot", manifest)
    return LeRobotData(folder / "lerobot")


def manifest_of(data: LeRobotData, name: str, source: str, made_by: dict[str, Any]) -> Manifest:
    """Describe the dataset `name` as its manifest does, with the size and sha256 of every file."""
    return Manifest(
        name=name,
        source=source,
        episodes=data.num_episodes,
        frames=data.num_frames,
        fps=data.fps,
        features=data.features,
        tasks=list(data.tasks),
        made_by=made_by,
        files=describe(data.root),
    )
