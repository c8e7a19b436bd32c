"""The statistics that states and actions are normalised with, and whether they are healthy.

Start from `compute(dataset_root, format, action_horizon)`, or from its two steps: `measure` one or several
datasets, then `widen`. `save` and `load` speak openpi's norm_stats.json; `health` is norm_stats.report.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pisft.canonical import write_json
from pisft.data.dataset import LeRobotData
from pisft.data.errors import DataError
from pisft.data.format import Format
from pisft.data.normalise import Method, Stats, normalise

FIELDS = ("state", "actions")
QUANTITIES = ("mean", "std", "q01", "q99")

# A dim whose spread is below these is nearly constant: what noise it has is blown up to the size of a signal.
TINY_STD = 1e-4
NARROW_RANGE = 1e-3
# A value that is this large when normalised dominates a loss in which the others are about 1.
OUTLIER = 10.0


@dataclass(frozen=True)
class NormStats:
    """What openpi's norm_stats.json holds."""

    state: Stats
    actions: Stats


@dataclass(frozen=True)
class Measured(Stats):
    """Statistics as measured, with the extremes (float64 (d,)) and the number of values of each dim."""

    low: np.ndarray
    high: np.ndarray
    count: int


def compute(
    dataset_root: str | Path,
    format: Format,
    action_horizon: int,
    episodes: Sequence[int] | None = None,
    min_std: float = 0.0,
    min_range: float = 0.0,
) -> NormStats:
    """Statistics of one dataset's `episodes` (all by default), widened; see `measure` and `widen`."""
    measured = measure([(LeRobotData(dataset_root), episodes)], format, action_horizon)
    return widen(measured, min_std, min_range)


def measure(
    datasets: Iterable[tuple[LeRobotData, Sequence[int] | None]], format: Format, action_horizon: int
) -> dict[str, Measured]:
    """State and encoded actions over all frames of all (dataset, episodes) pairs, each frame weighing alike.

    As openpi takes them: after the format's transforms, over every action of every chunk (the last action
    repeats past an episode's end), population std; quantiles are exact. Non-finite values are a `DataError`.
    """
    states, actions, chunks, offset = [], [], [], 0
    for data, episodes in datasets:
        columns = {key: data.column(key) for key in format.vector_keys}
        slices = [data.episode_slices[e] for e in (range(data.num_episodes) if episodes is None else episodes)]
        if not slices:
            raise DataError(f"{data.root}: no episode is selected; norm_stats need at least one")
        rows = np.concatenate([np.arange(s.start, s.stop) for s in slices])
        states.append(format.state(columns)[rows])
        actions.append(format.absolute_actions(columns)[rows])
        for s in slices:
            frame = np.arange(s.stop - s.start)
            chunks.append(offset + np.minimum(frame[:, None] + np.arange(action_horizon), frame[-1]))
            offset += len(frame)
    state, action, chunk = np.concatenate(states), np.concatenate(actions), np.concatenate(chunks)
    for name, values in (("state", state), ("actions", action)):
        if not np.isfinite(values).all():
            frame, dim = np.argwhere(~np.isfinite(values))[0]
            raise DataError(f"{name}: frame {frame} of the selected ones has {values[frame, dim]} in dim {dim}")

    def encoded(dim: int) -> np.ndarray:
        # one dim at a time bounds the memory: a chunk has `action_horizon` times the frames
        values = action[chunk, dim]
        return values - state[:, None, dim] if dim in format.relative_dims else values

    return {
        "state": _measure(state[:, dim] for dim in range(state.shape[1])),
        "actions": _measure(encoded(dim) for dim in range(action.shape[1])),
    }


def widen(measured: dict[str, Measured], min_std: float = 0.0, min_range: float = 0.0) -> NormStats:
    """`measured` with std at least `min_std` and q99 − q01 at least `min_range` (about the same centre)."""

    def widened(m: Measured) -> Stats:
        extra = np.maximum(0.0, min_range - (m.q99 - m.q01)) / 2
        return Stats(m.mean, np.maximum(m.std, min_std), m.q01 - extra, m.q99 + extra)

    return NormStats(**{name: widened(measured[name]) for name in FIELDS})


def health(
    measured: dict[str, Measured], method: Method, min_std: float = 0.0, min_range: float = 0.0
) -> dict[str, Any]:
    """Per field and dim: spread, the largest normalised |value|, what was widened, and what looks wrong."""
    used = widen(measured, min_std, min_range)
    report: dict[str, Any] = {"normalisation": method, "min_std": min_std, "min_range": min_range}
    for name in FIELDS:
        m = measured[name]
        largest = np.abs(normalise(np.stack([m.low, m.high]), getattr(used, name), method)).max(axis=0)
        width = m.q99 - m.q01
        dims = []
        for dim in range(len(m.mean)):
            suspect = {
                "tiny_std": m.std[dim] < TINY_STD,
                "narrow_range": width[dim] < NARROW_RANGE,
                "outliers": largest[dim] > OUTLIER,
            }
            widened = {"std": m.std[dim] < min_std, "range": width[dim] < min_range}
            dims.append(
                {
                    "dim": dim,
                    "std": float(m.std[dim]),
                    "range": float(width[dim]),
                    "largest_normalised": float(largest[dim]),
                    "widened": [key for key, yes in widened.items() if yes],
                    "warnings": [key for key, yes in suspect.items() if yes],
                }
            )
        report[name] = {"values": m.count, "dims": dims}
    return report


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


def _measure(dims: Iterable[np.ndarray]) -> Measured:
    """Statistics over all values of each dim's array."""
    rows = []
    for values in dims:
        values = values.astype(np.float64).ravel()
        q01, q99 = np.quantile(values, (0.01, 0.99))
        rows.append((values.mean(), values.std(), q01, q99, values.min(), values.max()))
    return Measured(*np.array(rows, np.float64).T, count=values.size)
