"""The statistics that normalise states and actions: openpi's, in openpi's norm_stats.json.

Start from `compute(dataset_root, format, action_horizon)`, or from its two steps: `measure` for one or several datasets
and then `widen`. `save` writes openpi's schema; `load` reads it and lerobot's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pisft.canonical import read_json, write_json
from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.statistics.measure import measure
from pisft.data.statistics.normalise import NormStats, Stats
from pisft.data.transforms.format import Format

FIELDS = ("state", "actions")
QUANTITIES = ("mean", "std", "q01", "q99")
LEROBOT = {"state": "observation.state", "actions": "action"}


def compute(
    dataset_root: str | Path,
    fmt: Format,
    action_horizon: int,
    episodes: Sequence[int] | None = None,
    min_std: float = 0.0,
    min_range: float = 0.0,
    workers: int = 1,
) -> NormStats:
    """Compute the statistics of one dataset's `episodes` (all by default), widened; see `measure` and `widen`."""
    measured = measure([(LeRobotData(dataset_root), episodes)], fmt, action_horizon, workers)
    return widen(measured, min_std, min_range)


def widen(measured: Mapping[str, Stats], min_std: float = 0.0, min_range: float = 0.0) -> NormStats:
    """Raise std to at least `min_std`, and widen q01 to q99 around its centre to at least `min_range`."""

    def widened(m: Stats) -> Stats:
        extra = np.maximum(0.0, min_range - (m.q99 - m.q01)) / 2
        return Stats(m.mean, np.maximum(m.std, min_std), m.q01 - extra, m.q99 + extra)

    return NormStats(**{name: widened(measured[name]) for name in FIELDS})


def save(stats: NormStats, path: str | Path) -> None:
    """Write openpi's schema: {"norm_stats": {"state": {"mean": [...], ...}, "actions": {...}}}."""
    content = {name: {key: value.tolist() for key, value in asdict(getattr(stats, name)).items()} for name in FIELDS}
    write_json(path, {"norm_stats": content})


def load(path: str | Path) -> NormStats:
    """Read openpi's norm_stats.json, or the file of lerobot's normaliser (.safetensors); raises `DataError`."""
    fields = _lerobot(Path(path)) if Path(path).suffix == ".safetensors" else _openpi(Path(path))
    for name, field in fields.items():
        if len({value.shape for value in field.values()}) != 1 or field["mean"].ndim != 1:
            raise DataError(f"{path}: {name}: mean, std, q01 and q99 are not lists of one length")
        if not all(np.isfinite(value).all() for value in field.values()):
            raise DataError(f"{path}: {name}: holds a number that is not finite")
    return NormStats(**{name: Stats(**field) for name, field in fields.items()})


def _openpi(path: Path) -> dict[str, dict[str, np.ndarray]]:
    try:
        content = read_json(path, DataError)["norm_stats"]
        return {name: {key: np.asarray(content[name][key], float) for key in QUANTITIES} for name in FIELDS}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: is not openpi's norm_stats.json ({error!r}); expected norm_stats.{{state,actions}}."
            "{mean,std,q01,q99}, each a list of numbers"
        ) from error


def _lerobot(path: Path) -> dict[str, dict[str, np.ndarray]]:
    try:
        content = load_file(path)
        return {
            name: {key: content[f"{feature}.{key}"].astype(float) for key in QUANTITIES}
            for name, feature in LEROBOT.items()
        }
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except KeyError as error:
        raise DataError(
            f"{path}: lerobot's statistics lack {error}; expected {{observation.state,action}}.{{mean,std,q01,q99}}. "
            "Measure the dataset instead: norm_stats.from: dataset"
        ) from error
