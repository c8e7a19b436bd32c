"""Opens the datasets in `data/`: start from `open_dataset`."""

from __future__ import annotations

from pathlib import Path

from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources.manifest import verify


def open_dataset(folder: Path) -> LeRobotData:
    """Open the dataset in `data/<dataset>`; raises `DataError` if its files differ from its manifest's."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        verify(folder / "lerobot", manifest)
    return LeRobotData(folder / "lerobot")
