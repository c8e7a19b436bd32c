"""Brings datasets that are not recorded here, a local folder or a hub repo, to `data/<dataset>/lerobot` (`take`)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from pisft.config.dataset import HubDataset, LocalDataset
from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources import legacy
from pisft.data.sources.hub import fetch


def take(origin: LocalDataset | HubDataset, root: Path) -> dict[str, Any]:
    """Make `root` a link to the dataset, or its conversion if it is older than v3.0; returns facts for the manifest.

    A local folder is never written to; a hub repo is downloaded to `original/` beside `root`.
    """
    if isinstance(origin, LocalDataset):
        folder, facts = origin.folder().absolute(), {}
        if not folder.is_dir():
            where = "`path`" if origin.path else f"`name`: '{origin.name}' under HF_LEROBOT_HOME"
            raise DataError(f"{folder}: is not a folder; expected a LeRobot dataset (the dataset's {where})")
    else:
        folder = root.with_name("original").absolute()
        facts = fetch(origin, folder)
    if legacy.version(folder) in legacy.OLD:
        return facts | legacy.convert(folder, root)
    LeRobotData(folder)
    _link(folder, root)
    return facts


def _link(folder: Path, root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    if root.is_dir() and not root.is_symlink():
        if not (root.parent / "manifest.json").is_file():
            raise DataError(f"{root}: is in the way of a link to {folder}; move it away")
        shutil.rmtree(root)  # written here by an earlier configuration of the dataset
    temporary = root.with_name(f".{root.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(folder, root.parent) if folder.parent == root.parent.absolute() else folder)
    os.replace(temporary, root)
