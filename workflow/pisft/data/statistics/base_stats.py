"""Finds the statistics that base weights were trained with, in any of upstream's layouts. Start from `base_stats`."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from pisft.config.dataset import HubDataset
from pisft.config.experiment import Resolved
from pisft.data.errors import DataError
from pisft.data.sources.hub import fetch_file, list_files

# Beside the weights (pi-sft), below assets/ (openpi), below the dataset's id (RLinf), and lerobot's preprocessor.
PLACES = (
    "norm_stats.json",
    "assets/*/norm_stats.json",
    "assets/*/*/norm_stats.json",
    "*/norm_stats.json",
    "*/*/norm_stats.json",
    "policy_preprocessor_step_*_normalizer_processor.safetensors",
)


def base_stats(config: Resolved, root: Path) -> Path:
    """Return the file with the statistics of `config`'s base weights; files on the hub are fetched.

    Among several, takes that of `norm_stats.asset_id`, else that of the format's `asset_id` or of the dataset's repo,
    where upstream would look. Raises `DataError` if there is none or the choice is ambiguous.
    """
    if (base := config.model.weights) is None:
        raise DataError("norm_stats.from: found base; the model has no base weights")
    if base.experiment is not None:
        return root / f"results/{base.experiment}/norm_stats.json"
    if base.repo is not None and base.revision is not None:
        names, where = list_files(base.repo, base.revision), f"{base.repo} at {base.revision}"
        found = _by_id(names)
        paths = {key: [fetch_file(base.repo, name, base.revision) for name in found[key]] for key in found}
    else:
        folder = root / base.statistics_folder()
        files = (path for place in PLACES for path in folder.glob(place) if path.is_file())
        names, where = [path.relative_to(folder).as_posix() for path in files], str(folder)
        paths = {key: [folder / name for name in found] for key, found in _by_id(names).items()}
    return _chosen(config, paths, where)


def _by_id(names: list[str]) -> dict[str, list[str]]:
    """Group the statistics files among `names` by the id that they are for; "" for files beside the weights."""
    found: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        depth = name.count("/")
        if any(fnmatch(name, place) and place.count("/") == depth for place in PLACES):
            found.setdefault(name.rpartition("/")[0].removeprefix("assets/"), []).append(name)
    return found


def _chosen(config: Resolved, paths: dict[str, list[Path]], where: str) -> Path:
    wanted = config.norm_stats.asset_id
    if not paths:
        raise DataError(
            f"norm_stats.from: base: {where}: holds no statistics; expected one of {', '.join(PLACES)}; bring them "
            "there, or write norm_stats: {from: dataset}"
        )
    ids = ", ".join(key or "(beside the weights)" for key in paths)
    if wanted is not None and wanted not in paths:
        raise DataError(f"norm_stats.asset_id: found {wanted}; {where} has statistics of {ids}")
    repos = [use.origin.repo for use in config.datasets if isinstance(use.origin, HubDataset)]
    usual = [key for key in (config.format.asset_id, *repos) if key in paths]
    if wanted is None and len(paths) > 1 and not usual:
        raise DataError(
            f"norm_stats.from: base: {where}: has statistics of several robots or datasets: {ids}; choose with "
            "norm_stats: {from: base, asset_id: <one of them>}"
        )
    first, *others = paths[next(key for key in (wanted, *usual, *paths) if key in paths)]
    for other in others:
        if other.read_bytes() != first.read_bytes():
            raise DataError(f"norm_stats.from: base: {first} and {other} are not the same; remove the wrong one")
    return first
