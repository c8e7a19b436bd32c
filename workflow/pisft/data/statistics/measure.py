"""Measures states and actions: mean, std, extremes and exact quantiles in bounded memory. Start from `measure`.

The parquet columns are read twice: for sums, extremes and the upper bits of quantiles, then for centred squares and the
lower bits. Float64 sums are taken per block and then added exactly (`math.fsum`), and counts are integers, so that the
number of processes does not affect the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from typing import Any, NamedTuple, Self

import numpy as np

from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.vectors import Vectors
from pisft.data.statistics.chunks import Piece, Values, encoded, plan
from pisft.data.statistics.normalise import NormStats, Stats
from pisft.data.statistics.order_statistics import BINS, Distribution, add_lower, add_upper, bins_to_refine
from pisft.data.transforms.fit import check_together
from pisft.data.transforms.format import Format
from pisft.errors import PisftError
from pisft.process import end_with_parent

QUANTILES = (0.01, 0.99)
BLOCKS_A_WORKER = 8  # fewer take less time than starting another process


@dataclass(frozen=True)
class Measured(Stats):
    """Statistics as measured, with extremes and the share `beyond` q01 to q99 of each dim (float64 (d,)).

    `beyond` is relative to the reference's q01 and q99 if there is one; NaN for dims that it lacks. Each dim has
    `count` values.
    """

    low: np.ndarray
    high: np.ndarray
    beyond: np.ndarray
    count: int


@dataclass(frozen=True)
class Share:
    """The work of one process: `blocks`, each with the index of its dataset in `sources`."""

    sources: list[Vectors]
    blocks: list[tuple[int, list[Piece]]]
    format: Format
    action_horizon: int
    state_dims: int
    dims: int

    def values(self) -> Iterator[Iterator[Values]]:
        """Yield the dims of each block."""
        for place, block in self.blocks:
            yield encoded(self.sources[place], block, self.format, self.action_horizon)


def measure(
    datasets: Iterable[tuple[LeRobotData, Sequence[int] | None]],
    fmt: Format,
    action_horizon: int,
    workers: int = 1,
    reference: NormStats | None = None,
) -> dict[str, Measured]:
    """Return {"state", "actions"} measured over the frames of all (dataset, episodes) pairs, equally weighted.

    As in openpi: after the format's transforms, over every action of every chunk (the last action repeats past an
    episode's end), population std; quantiles equal np.quantile's. The result is the same to the bit for any number of
    `workers` (processes). Raises `DataError` for values that are not finite.
    """
    pairs = list(datasets)
    blocks = [(place, block) for place, pair in enumerate(pairs) for block in plan(*pair)]
    sources = [data.vectors(fmt.vector_keys) for data, _ in pairs]
    check_together([data for data, _ in pairs], fmt)
    state_dims, action_dims = _widths(sources[0], fmt)
    dims = state_dims + action_dims
    limits = _limits(reference, state_dims, action_dims)
    count = max(1, min(workers, len(blocks) // BLOCKS_A_WORKER))
    ends = [len(blocks) * i // count for i in range(count + 1)]
    shares = [
        Share(sources, blocks[start:end], fmt, action_horizon, state_dims, dims)
        for start, end in itertools.pairwise(ends)
    ]
    with _processes(count) as run:
        first = _first(run(_first_pass, shares), dims)
        values = first.upper.sum(axis=1)
        mean = first.sums / values
        bins = [
            sorted(bins_to_refine(upper, QUANTILES, limits[dim][np.isfinite(limits[dim])]))
            for dim, upper in enumerate(first.upper)
        ]
        squares, lower = _second(run(_second_pass, shares, repeat(mean), repeat(bins)), bins)
    distributions = [Distribution(*counts) for counts in zip(first.upper, lower, strict=True)]
    q01, q99 = ([distribution.quantile(q) for distribution in distributions] for q in QUANTILES)
    if reference is None:
        limits = np.stack([q01, q99], -1)
    beyond = [
        distribution.share_beyond(low, high) if np.isfinite(low) else np.nan
        for distribution, (low, high) in zip(distributions, limits, strict=True)
    ]
    columns = np.array([mean, np.sqrt(squares / values), q01, q99, first.low, first.high, beyond])
    state, actions = np.split(columns, [state_dims], axis=1)
    return {
        "state": Measured(*state, count=int(values[0])),
        "actions": Measured(*actions, count=int(values[-1])),
    }


class Counts(NamedTuple):
    """Sparse integer counts: the flat indices of the non-zero ones, and their values."""

    places: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, dense: np.ndarray) -> Self:
        """Return the counts of `dense` that are not 0."""
        places = np.flatnonzero(dense)
        return cls(places, dense.reshape(-1)[places])

    def add_to(self, dense: np.ndarray) -> None:
        """Add these to `dense`, which has the shape of the original."""
        dense.reshape(-1)[self.places] += self.counts


class First(NamedTuple):
    """The first pass's result for each dim: `sums` (blocks, dims), extremes (dims,), `upper` (dims, 2**16)."""

    sums: Any
    low: np.ndarray
    high: np.ndarray
    upper: Any


def _first_pass(share: Share) -> First:
    upper = np.zeros((share.dims, BINS), np.int64)
    sums, lows, highs = (np.empty((len(share.blocks), share.dims)) for _ in range(3))
    for i, block in enumerate(share.values()):
        for dim, values, weights in block:
            lows[i, dim], highs[i, dim] = values.min(), values.max()
            if not np.isfinite([lows[i, dim], highs[i, dim]]).all():
                frames = sum(piece.stop - piece.start for piece in share.blocks[i][1])
                raise _not_finite(share, i, dim, int(np.argmin(np.isfinite(values))) // (len(values) // frames))
            sums[i, dim] = values.sum(dtype=np.float64) if weights is None else (values * weights).sum()
            add_upper(upper[dim], values, weights)
    return First(sums, lows.min(axis=0), highs.max(axis=0), Counts.of(upper))


def _first(parts: Iterable[First], dims: int) -> First:
    """Combine the results of all shares."""
    upper = np.zeros((dims, BINS), np.int64)
    sums, lows, highs = [], [], []
    for part in parts:
        part.upper.add_to(upper)
        sums.append(part.sums)
        lows.append(part.low)
        highs.append(part.high)
    return First(_exact_sum(sums), np.min(lows, axis=0), np.max(highs, axis=0), upper)


def _second_pass(share: Share, mean: np.ndarray, bins: list[list[int]]) -> tuple[np.ndarray, list[Counts]]:
    """Return sums of centred squares (blocks, dims), and counts of the lower bits in each dim's `bins`."""
    lower = [np.zeros((len(some), BINS), np.int64) for some in bins]
    squares = np.empty((len(share.blocks), share.dims))
    for i, block in enumerate(share.values()):
        for dim, values, weights in block:
            centred = np.subtract(values, mean[dim], dtype=np.float64)
            np.square(centred, out=centred)
            squares[i, dim] = centred.sum() if weights is None else (centred * weights).sum()
            add_lower(dict(zip(bins[dim], lower[dim], strict=True)), values, weights)
    return squares, [Counts.of(counts) for counts in lower]


def _second(
    parts: Iterable[tuple[np.ndarray, list[Counts]]], bins: list[list[int]]
) -> tuple[np.ndarray, list[dict[int, np.ndarray]]]:
    """Combine the results of all shares: sums (dims,), and counts by bin."""
    lower = [np.zeros((len(some), BINS), np.int64) for some in bins]
    squares = []
    for sums, parted in parts:
        squares.append(sums)
        for dense, counts in zip(lower, parted, strict=True):
            counts.add_to(dense)
    return _exact_sum(squares), [dict(zip(*pair, strict=True)) for pair in zip(bins, lower, strict=True)]


def _exact_sum(parts: list[np.ndarray]) -> np.ndarray:
    """Return the columns' sums, rounded once and so independent of order."""
    return np.array([math.fsum(column) for column in np.concatenate(parts).T])


def _widths(vectors: Vectors, fmt: Format) -> tuple[int, int]:
    """Return the dims of the encoded state and an encoded action; raises `DataError` if the format does not fit."""
    one = {key: np.ones((1, width), np.float32) for key, width in vectors.widths.items()}
    state = fmt.state(one)[0]
    return state.shape[-1], fmt.to_relative(fmt.absolute_actions(one), state).shape[-1]


def _limits(reference: NormStats | None, state_dims: int, action_dims: int) -> np.ndarray:
    """Return q01 and q99 of the reference, (dims, 2); NaN for dims that it lacks."""
    limits = np.full((state_dims + action_dims, 2), np.nan)
    if reference is not None:
        for start, width, stats in ((0, state_dims, reference.state), (state_dims, action_dims, reference.actions)):
            known = np.stack([stats.q01, stats.q99], -1)[:width]
            limits[start : start + len(known)] = known
    return limits


def _not_finite(share: Share, i: int, dim: int, index: int) -> DataError:
    place, block = share.blocks[i]
    rows = [row for piece in block for row in range(piece.start, piece.stop)]
    name, dim = ("state", dim) if dim < share.state_dims else ("actions", dim - share.state_dims)
    file, episode, frame = share.sources[place].place(rows[index])
    return DataError(
        f"{file}: the encoded {name} of episode {episode}, frame {frame}, dim {dim} is not finite, though what it is "
        "made of is; leave the episode out, or fix it or the format"
    )


@contextmanager
def _processes(count: int) -> Iterator[Callable[..., Iterable]]:
    """Yield a `map` that runs in `count` processes, or in this one if `count` is 1."""
    if count == 1:
        yield map
        return
    with ProcessPoolExecutor(count, get_context("spawn"), end_with_parent) as pool:
        try:
            yield pool.map
        except BrokenProcessPool as error:
            raise PisftError(
                f"one of {count} workers has died, perhaps for lack of memory; give fewer --workers"
            ) from error
