"""The statistics that states and actions are normalised with: openpi's, in openpi's norm_stats.json.

Start from `compute(dataset_root, format, action_horizon)`, or from its two steps: `pisft.data.measure` for one or
several datasets, then `widen`. `save` and `load` speak openpi's schema; `pisft.data.health` says how healthy they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pisft.canonical import write_json
from pisft.data.dataset import LeRobotData
from pisft.data.errors import DataError
from pisft.data.format import Format
from pisft.data.measure import measure
from pisft.data.normalise import NormStats, Stats

FIELDS = ("state", "actions")
QUANTITIES = ("mean", "std", "q01", "q99")


def compute(
    dataset_root: str | Path,
    format: Format,
    action_horizon: int,
    episodes: Sequence[int] | None = None,
    min_std: float = 0.0,
    min_range: float = 0.0,
    workers: int = 1,
) -> NormStats:
    """Statistics of one dataset's `episodes` (all by default), widened; see `measure` and `widen`."""
    measured = measure([(LeRobotData(dataset_root), episodes)], format, action_horizon, workers)
    return widen(measured, min_std, min_range)


def widen(measured: Mapping[str, Stats], min_std: float = 0.0, min_range: float = 0.0) -> NormStats:
    """`measured` with std at least `min_std` and q99 − q01 at least `min_range` (about the same centre)."""

    def widened(m: Stats) -> Stats:
        extra = np.maximum(0.0, min_range - (m.q99 - m.q01)) / 2
        return Stats(m.mean, np.maximum(m.std, min_std), m.q01 - extra, m.q99 + extra)

    return NormStats(**{name: widened(measured[name]) for name in FIELDS})


def save(stats: NormStats, path: str | Path) -> None:
    """Write openpi's schema: {"norm_stats": {"state": {"mean": [...], ...}, "actions": {...}}}."""
    content = {name: {key: value.tolist() for key, value in asdict(getattr(stats, name)).items()} for name in FIELDS}
    write_json(path, {"norm_stats": content})


def load(path: str | Path) -> NormStats:
    """Read openpi's schema; what does not fit it is a `DataError`."""
    try:
        content = json.loads(Path(path).read_text())["norm_stats"]
        fields = {name: {key: np.asarray(content[name][key], float) for key in QUANTITIES} for name in FIELDS}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: is not openpi's norm_stats.json ({error!r}); expected norm_stats.{{state,actions}}."
            "{mean,std,q01,q99}, each a list of numbers"
        ) from error
    for name, field in fields.items():
        if len({value.shape for value in field.values()}) != 1 or field["mean"].ndim != 1:
            raise DataError(f"{path}: norm_stats.{name}: mean, std, q01 and q99 are not lists of one length")
        if not all(np.isfinite(value).all() for value in field.values()):
            raise DataError(f"{path}: norm_stats.{name}: holds a number that is not finite")
    return NormStats(**{name: Stats(**field) for name, field in fields.items()})
