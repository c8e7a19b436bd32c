"""The datasets in `data/`: start from `open_dataset`."""

from __future__ import annotations

from pathlib import Path

from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources.manifest import verify


def open_dataset(folder: Path) -> LeRobotData:
    """The dataset in `data/<dataset>`, whose files are those of its manifest, where it has one; raises `DataError`."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        verify(folder / "lerobot", manifest)
    return LeRobotData(folder / "lerobot")
