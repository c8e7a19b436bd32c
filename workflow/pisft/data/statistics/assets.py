"""Finds datasets and places statistics by upstream's names: lerobot's cache, and where openpi and RLinf look.

Start from `find_dataset(repo_id)` and `asset_folders(...)`.
"""

from __future__ import annotations

from pathlib import Path

from pisft.config.dataset import LocalDataset
from pisft.data.errors import DataError
from pisft.data.transforms.format import Format


def find_dataset(repo_id: str) -> Path:
    """Return the folder `repo_id` if it is one, else the dataset's folder of that name in lerobot's cache."""
    folder = Path(repo_id).expanduser()
    if folder.is_dir():
        return folder
    cached = LocalDataset(name=repo_id).folder()
    if not cached.is_dir():
        raise DataError(
            f"--repo-id {repo_id}: there is no such folder, nor {cached}, nor one that lerobot fetched into its hub/; "
            "give a LeRobot dataset's folder, set HF_LEROBOT_HOME, or fetch it first: describe it in "
            "config/datasets/<name>.yaml (source: hub), run `snakemake data/<name>/manifest.json` and give "
            "data/<name>/lerobot"
        )
    return cached


def asset_folders(output: Path, exp_name: str, repo_id: str, fmt: Format) -> list[Path]:
    """Return each `<output>/<exp_name>/<id>` where upstream looks for the norm_stats.json of a dataset.

    The ids are the one in upstream's own registry (the format's `asset_id`), whatever dataset is used in its place, and
    the dataset's repo id. A folder without an `asset_id` goes by its name (data/<name>/lerobot, this project's layout,
    by <name>).
    """
    folder = Path(repo_id).expanduser()
    known = [fmt.config.asset_id] if fmt.config.asset_id else []
    if not folder.is_dir():
        ids = [repo_id, *known]
    else:
        folder = folder.resolve()
        ids = known or [folder.parent.name if folder.name == "lerobot" else folder.name]
    return [output / exp_name / name for name in dict.fromkeys(ids)]
