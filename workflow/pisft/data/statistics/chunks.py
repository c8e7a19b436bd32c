"""Yields every action of every chunk, one block of frames at a time, for statistics. Start from `plan`.

The blocks depend on the datasets and the chosen episodes alone, not on the number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.vectors import Vectors
from pisft.data.transforms.format import Format

FRAMES = 4096  # in a block: few enough that the chunks of one dim fit in a core's cache


class Piece(NamedTuple):
    """Rows `start` up to `stop`, all or part of the episode with rows `first` up to `end`."""

    first: int
    start: int
    stop: int
    end: int


class Values(NamedTuple):
    """Values of one encoded dim, float32 (n,), and their multiplicities, float64 (n,), or None if all are 1."""

    dim: int
    values: np.ndarray
    weights: np.ndarray | None


def plan(data: LeRobotData, episodes: Sequence[int] | None) -> list[list[Piece]]:
    """Split the rows of `episodes` (None for all) into blocks of `FRAMES`, the last one shorter.

    Raises `DataError` if no episode is selected.
    """
    chosen = range(data.num_episodes) if episodes is None else sorted(set(episodes))
    if not chosen:
        raise DataError(f"{data.root}: no episode is selected; norm_stats need at least one")
    blocks: list[list[Piece]] = [[]]
    space = FRAMES
    for episode in chosen:
        rows = data.rows(episode)
        start = rows.start
        while start < rows.stop:
            if not space:
                blocks.append([])
                space = FRAMES
            stop = min(rows.stop, start + space)
            blocks[-1].append(Piece(rows.start, start, stop, rows.stop))
            space -= stop - start
            start = stop
    return blocks


def encoded(vectors: Vectors, block: list[Piece], fmt: Format, horizon: int) -> Iterator[Values]:
    """Yield the dims of the state, then of the actions, numbered consecutively, for all chunks that start in `block`.

    An action that is not relative to the chunk's state has the same value in every chunk that contains it: it is
    yielded once, weighted by their number. Later items overwrite the arrays of earlier ones.
    """
    ahead = horizon - 1 if fmt.relative_dims else 0
    parts = [vectors.rows(piece.start, min(piece.stop + ahead, piece.end)) for piece in block]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in vectors.widths}
    state, actions = fmt.state(joined), fmt.absolute_actions(joined)
    lengths = [piece.stop - piece.start for piece in block]
    read = [min(piece.stop + ahead, piece.end) - piece.start for piece in block]

    own = np.concatenate([start + np.arange(n) for start, n in zip(_starts(read), lengths, strict=True)])
    states = np.ascontiguousarray(state[own].T)
    for dim, column in enumerate(states):
        yield Values(dim, column, None)
    weights = np.concatenate([_occurrences(piece, horizon) for piece in block])
    for dim in sorted(set(range(actions.shape[1])) - set(fmt.relative_dims)):
        yield Values(len(states) + dim, np.ascontiguousarray(actions[own, dim]), weights)
    if fmt.relative_dims:
        for dim, values in _relative(states, actions, lengths, read, fmt.relative_dims, horizon):
            yield Values(len(states) + dim, values, None)


def _relative(
    states: np.ndarray, actions: np.ndarray, lengths: list[int], read: list[int], dims: list[int], horizon: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (dim, all actions of all chunks) for `dims`: `Format.to_relative` without copying the other dims.

    `states` (dims, frames) belong to the pieces of `lengths`, `actions` (rows, dims) to the rows `read` of each piece.
    """
    # for each piece the rows of its chunks: its own, those ahead, and the last one repeated
    rows = [
        start + np.minimum(np.arange(n + horizon - 1), count - 1)
        for start, n, count in zip(_starts(read), lengths, read, strict=True)
    ]
    extended = np.ascontiguousarray(actions[np.concatenate(rows)].T)
    chunks = np.empty((sum(lengths), horizon), np.float32)
    for dim in dims:
        windows = np.lib.stride_tricks.sliding_window_view(extended[dim], horizon)
        with np.errstate(over="ignore"):  # the caller reports the frame of a value that is not finite
            for i, (start, n) in enumerate(zip(_starts(lengths), lengths, strict=True)):
                first, here = start + i * (horizon - 1), slice(start, start + n)
                np.subtract(windows[first : first + n], states[dim, here, None], out=chunks[here])
        yield dim, chunks.reshape(-1)


def _starts(lengths: list[int]) -> np.ndarray:
    return np.cumsum(lengths) - lengths


def _occurrences(piece: Piece, horizon: int) -> np.ndarray:
    """Return how many chunks of its episode contain each row's action, counting repeats of the last, float64 (n,)."""
    counts = np.minimum(np.arange(piece.start, piece.stop) - piece.first + 1, horizon).astype(np.float64)
    if piece.stop == piece.end:
        repeats = min(piece.end - piece.first, horizon)  # chunks that reach the end: horizon, horizon − 1, … times
        counts[-1] = sum(range(horizon, horizon - repeats, -1))
    return counts
