"""Reads a sample of episodes, spread evenly over a dataset, in bounded memory: start from `read(data, keys)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.vectors import parquet, to_array

EPISODES = 200
FRAMES = 400_000
SHOWN = 3  # episodes whose images and traces are drawn


@dataclass(frozen=True)
class Sample:
    """The frames of `episodes`, concatenated; `values` are vectors by key, float32 (frames, d)."""

    episodes: np.ndarray
    lengths: np.ndarray
    values: dict[str, np.ndarray]

    @cached_property
    def ends(self) -> np.ndarray:
        """The end of each episode, as a row."""
        return np.cumsum(self.lengths)

    @cached_property
    def last(self) -> np.ndarray:
        """Whether each frame is the last of its episode, which has no next one."""
        last = np.zeros(int(self.ends[-1]), bool)
        last[self.ends - 1] = True
        return last

    @property
    def shown(self) -> list[int]:
        """Indices into `episodes` of the first, a middle and the last one."""
        return spread(len(self.episodes), SHOWN).tolist()

    def rows(self, place: int) -> slice:
        """Return the rows of `episodes[place]`."""
        return slice(int(self.ends[place] - self.lengths[place]), int(self.ends[place]))

    def place(self, row: int) -> str:
        """Format a row of the sample as `episode 3, frame 17`."""
        episode = int(np.searchsorted(self.ends, row, side="right"))
        return f"episode {self.episodes[episode]}, frame {row - self.rows(episode).start}"


def spread(count: int, limit: int) -> np.ndarray:
    """Return at most `limit` of `count` numbers, evenly spaced, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))


def read(data: LeRobotData, keys: Sequence[str], episodes: int = EPISODES, frames: int = FRAMES) -> Sample:
    """Read vectors of at most `episodes` episodes and about `frames` frames; raises `DataError`."""
    limit = min(episodes, max(SHOWN, int(frames / data.episode_lengths.mean())))
    chosen = spread(data.num_episodes, limit)
    rows = np.concatenate([np.asarray(data.rows(episode)) for episode in chosen])
    parts: dict[str, list[np.ndarray]] = {key: [] for key in keys}
    first = 0
    for path in data.data_files:
        first = _read_file(data, path, first, rows, parts)
    values = {key: np.concatenate(found) for key, found in parts.items()}
    return Sample(chosen, data.episode_lengths[chosen], values)


def _read_file(data: LeRobotData, path: Path, first: int, rows: np.ndarray, parts: dict[str, list]) -> int:
    """Add what `path`, whose first frame is `first`, has of `rows`; returns the first frame of the next file."""
    file = parquet(path, pq.ParquetFile)
    for group in range(file.metadata.num_row_groups):
        end = first + file.metadata.row_group(group).num_rows
        wanted = rows[np.searchsorted(rows, first) : np.searchsorted(rows, end)] - first
        if len(wanted):
            table = parquet(path, lambda _, group=group: file.read_row_group(group, list(parts), use_threads=False))
            for key, found in parts.items():
                try:
                    found.append(to_array(table[key].combine_chunks(), data.vector_width(key))[wanted])
                except (KeyError, ValueError) as error:
                    raise DataError(f"{path}: '{key}' {error}; fix the dataset's info.json or its data") from error
        first = end
    return first
