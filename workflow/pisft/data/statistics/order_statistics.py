"""Exact order statistics of any number of float32 values in bounded memory, by radix selection in two passes.

The first pass counts the upper 16 bits of all values (`add_upper`), the second one the lower 16 bits of those values
whose upper ones are among `bins_to_refine` (`add_lower`); a `Distribution` of these counts knows quantiles and shares.
Counts are integers, so they may be added up in any order, and values may have integer weights.

Read as an unsigned integer, a float32 that is not negative is in order already and a negative one in reverse order.
Counting is by the bits as they are; only the counts, 2**16 at a time, are put in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

BINS = 2**16
SIGN = BINS // 2  # of the upper bits: those of negative values have it
LOWER, UPPER = slice(0, None, 2), slice(1, None, 2)  # halves of a little-endian float32
_BITS = np.arange(BINS)
_ASCENDING = np.concatenate([_BITS[: SIGN - 1 : -1], _BITS[:SIGN]])  # upper bits, by the values that have them
_ZEROS = {0, SIGN}  # the bins of 0 and −0, which are one value


def add_upper(counts: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None) -> None:
    """Add float32 `values` (n,), each `weights` (n,) times, to `counts`, int64 (2**16,)."""
    counts += np.bincount(values.view(np.uint16)[UPPER], weights, BINS).astype(np.int64)


def add_lower(counts: Mapping[int, np.ndarray], values: np.ndarray, weights: np.ndarray | None = None) -> None:
    """Add those of `values` whose upper bits are a key of `counts` to what it holds there, int64 (2**16,)."""
    bits = values.view(np.uint16)
    for bin, lower in counts.items():
        inside = np.flatnonzero(bits[UPPER] == bin)
        if len(inside):
            some = None if weights is None else weights[inside]
            lower += np.bincount(bits[LOWER][inside], some, BINS).astype(np.int64)


def bins_to_refine(upper: np.ndarray, quantiles: Iterable[float], thresholds: Iterable[float] = ()) -> set[int]:
    """The upper bits among which values must be told apart, to know `quantiles` and the shares beyond `thresholds`."""
    ends = np.cumsum(upper[_ASCENDING])
    ranks = {rank for quantile in quantiles for rank in _neighbours(int(ends[-1]), quantile)[:2]}
    bins = {int(_ASCENDING[np.searchsorted(ends, rank, side="right")]) for rank in ranks}
    bins |= {_bits(value) // BINS for t in thresholds for value in (_at_least(t), _more_than(t))}
    return bins | _ZEROS if bins & _ZEROS else bins


class Distribution:
    """All values of a dim, as the counts of their upper bits, and those of the lower bits in the refined bins."""

    def __init__(self, upper: np.ndarray, lower: Mapping[int, np.ndarray]):
        self._upper, self._lower = upper, lower
        self._ends = np.cumsum(upper[_ASCENDING])
        self.count = int(self._ends[-1])

    def quantile(self, quantile: float) -> float:
        """What np.quantile gives for the values as float64, rounding included."""
        below, above, part = _neighbours(self.count, quantile)
        a, b = self._order_statistic(below), self._order_statistic(above)
        return (a + (b - a) * part if part < 0.5 else b - (b - a) * (1 - part)) + 0.0  # 0, not −0

    def share_beyond(self, low: float, high: float) -> float:
        """The share of values < `low` or > `high`, each a quantile that was refined or a threshold."""
        return (self._count_before(_at_least(low)) + self.count - self._count_before(_more_than(high))) / self.count

    def _order_statistic(self, rank: int) -> float:
        """The value at place `rank` of all in ascending order."""
        place = int(np.searchsorted(self._ends, rank, side="right"))
        bin = int(_ASCENDING[place])
        rank -= int(self._ends[place] - self._upper[bin])
        half = int(np.searchsorted(np.cumsum(self._ascending_lower(bin)), rank, side="right"))
        bits = bin * BINS + (BINS - 1 - half if bin >= SIGN else half)
        return float(np.uint32(bits).view(np.float32))

    def _count_before(self, value: np.float32) -> int:
        """How many values come before `value` in the order of the bits, in which −0 comes before 0."""
        bin, half = divmod(_bits(value), BINS)
        place = SIGN + bin if bin < SIGN else BINS - 1 - bin
        before = int(self._ends[place] - self._upper[bin])
        if self._upper[bin] and bin in self._lower:  # else it is the first or last of a bin that nothing asked for
            before += int(self._ascending_lower(bin)[: BINS - 1 - half if bin >= SIGN else half].sum())
        return before

    def _ascending_lower(self, bin: int) -> np.ndarray:
        return self._lower[bin][::-1] if bin >= SIGN else self._lower[bin]


def _neighbours(count: int, quantile: float) -> tuple[int, int, float]:
    """(rank below, rank above, how far between them) of a quantile by linear interpolation."""
    place = (count - 1) * quantile
    below = math.floor(place)
    return below, min(below + 1, count - 1), place - below


def _bits(value: np.float32) -> int:
    return int(value.view(np.uint32))


@np.errstate(over="ignore")  # beyond float32 is infinity
def _at_least(threshold: float) -> np.float32:
    """The first float32 that is not less than `threshold`."""
    value = np.float32(threshold)
    value = np.nextafter(value, np.float32(np.inf)) if float(value) < threshold else value
    return np.float32(-0.0) if value == 0 else value


@np.errstate(over="ignore")
def _more_than(threshold: float) -> np.float32:
    """The first float32 that is more than `threshold`."""
    value = np.float32(threshold)
    return np.nextafter(value, np.float32(np.inf)) if float(value) <= threshold else value
