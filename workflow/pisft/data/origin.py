"""Datasets that are not recorded here: `link` points at a local folder, `fetch` downloads a hub repo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pisft.config.dataset import HubDataset, LocalDataset
from pisft.data.dataset import LeRobotData
from pisft.data.errors import DataError


def link(origin: LocalDataset, root: Path) -> None:
    """Make `root` a link to the local folder, which must hold a dataset and is never written."""
    folder = Path(origin.path).expanduser().absolute()
    if not folder.is_dir():
        raise DataError(f"{folder}: is not a folder; expected a LeRobot dataset (the dataset's `path`)")
    LeRobotData(folder)
    if root.exists() and not root.is_symlink():
        raise DataError(f"{root}: lies in the way of a link to {folder}; move it away")
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = root.with_name(f".{root.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder)
    os.replace(temporary, root)


def fetch(origin: HubDataset, root: Path) -> dict[str, Any]:
    """Download the pinned revision into `root`; what is already there and whole is kept."""
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(origin.repo, repo_type="dataset", revision=origin.revision, local_dir=root)
    except Exception as error:
        # the hub client raises a dozen types (offline, gated, absent, cut off), all with one remedy
        raise DataError(
            f"{origin.repo} at {origin.revision}: could not be fetched from the hub: {_first_line(error)}; check the "
            "network, the name and the revision, set HF_ENDPOINT for a mirror or HF_TOKEN for a gated repo, "
            "or use `source: local` with a copy"
        ) from error
    return {"repo": origin.repo, "revision": origin.revision}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
