"""Datasets and statistics by upstream's names: where lerobot keeps the one, and openpi and RLinf look for the other.

Start from `find_dataset(repo_id)` and `asset_folders(...)`.
"""

from __future__ import annotations

from pathlib import Path

from pisft.config.dataset import LocalDataset
from pisft.data.errors import DataError
from pisft.data.transforms.format import Format


def find_dataset(repo_id: str) -> Path:
    """The folder of a dataset: `repo_id` where it is one, else that of this name where lerobot keeps its own."""
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


def asset_folders(output: Path, exp_name: str, repo_id: str, format: Format) -> list[Path]:
    """Each `<output>/<exp_name>/<id>` where upstream looks for the norm_stats.json of a dataset.

    That is under the id in its own registry (the format's `asset_id`), whatever dataset stands in for it, and under the
    dataset's id where it has one; a folder that no registry knows goes by its name (data/<name>/lerobot, as this
    project lays them out, by <name>).
    """
    folder = Path(repo_id).expanduser()
    known = [format.config.asset_id] if format.config.asset_id else []
    if not folder.is_dir():
        ids = [repo_id, *known]
    else:
        folder = folder.resolve()
        ids = known or [folder.parent.name if folder.name == "lerobot" else folder.name]
    return [output / exp_name / name for name in dict.fromkeys(ids)]
