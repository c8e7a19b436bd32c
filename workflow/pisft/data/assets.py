"""Datasets and statistics by upstream's names: where lerobot keeps the one, and openpi and RLinf look for the other.

Start from `find_dataset(repo_id)` and `asset_folder(...)`.
"""

from __future__ import annotations

from pathlib import Path

from pisft.config.dataset import LocalDataset
from pisft.data.errors import DataError
from pisft.data.format import Format


def find_dataset(repo_id: str) -> Path:
    """The folder of a dataset: `repo_id` where it is one, else that of this name in lerobot's cache."""
    folder = Path(repo_id).expanduser()
    if folder.is_dir():
        return folder
    cached = LocalDataset(name=repo_id).folder()
    if not cached.is_dir():
        raise DataError(
            f"--repo-id {repo_id}: there is no such folder, nor {cached}; give a LeRobot dataset's folder, set "
            "HF_LEROBOT_HOME, or fetch it first: describe it in config/datasets/<name>.yaml (source: hub), run "
            "`snakemake data/<name>/manifest.json` and give data/<name>/lerobot"
        )
    return cached


def asset_folder(output: Path, exp_name: str, repo_id: str, format: Format) -> Path:
    """`<output>/<exp_name>/<id>`, where upstream looks for the norm_stats.json of a dataset.

    That is under the id in its own registry (the format's `asset_id`), also where a local path stands in for it; a
    folder that no registry knows goes by its name (data/<name>/lerobot, as this project lays them out, by <name>).
    """
    folder = Path(repo_id).expanduser()
    if not folder.is_dir():
        return output / exp_name / repo_id
    folder = folder.resolve()
    own = folder.parent.name if folder.name == "lerobot" else folder.name
    return output / exp_name / (format.config.asset_id or own)
