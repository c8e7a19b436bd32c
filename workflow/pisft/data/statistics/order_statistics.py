"""Exact order statistics of any number of float32 values in bounded memory, by radix selection in two passes.

The first pass counts the upper 16 bits of all values (`add_upper`), the second the lower 16 bits of the values whose
upper bits are among `bins_to_refine` (`add_lower`); a `Distribution` of these counts yields quantiles and shares.
Counts are integers, so they may be summed in any order, and values may have integer weights.

Read as unsigned integers, non-negative float32 are in ascending order and negative ones in descending order. Values are
counted by their raw bits; only the counts, 2**16 at a time, are put in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

BINS = 2**16
SIGN = BINS // 2  # the sign bit in the upper 16 bits
LOWER, UPPER = slice(0, None, 2), slice(1, None, 2)  # halves of a little-endian float32
_BITS = np.arange(BINS)
_ASCENDING = np.concatenate([_BITS[: SIGN - 1 : -1], _BITS[:SIGN]])  # upper bits, in ascending order of value
_ZEROS = {0, SIGN}  # the bins of 0 and −0, which are equal


def add_upper(counts: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None) -> None:
    """Add float32 `values` (n,), each `weights` (n,) times, to `counts`, int64 (2**16,)."""
    counts += np.bincount(values.view(np.uint16)[UPPER], weights, BINS).astype(np.int64)


def add_lower(counts: Mapping[int, np.ndarray], values: np.ndarray, weights: np.ndarray | None = None) -> None:
    """Count the lower bits of `values` whose upper bits are a key of `counts`, into that key's int64 (2**16,)."""
    bits = values.view(np.uint16)
    for number, lower in counts.items():
        inside = np.flatnonzero(bits[UPPER] == number)
        if len(inside):
            some = None if weights is None else weights[inside]
            lower += np.bincount(bits[LOWER][inside], some, BINS).astype(np.int64)


def bins_to_refine(upper: np.ndarray, quantiles: Iterable[float], thresholds: Iterable[float] = ()) -> set[int]:
    """Return the upper bits whose lower bits are needed for `quantiles` and the shares beyond `thresholds`."""
    ends = np.cumsum(upper[_ASCENDING])
    ranks = {rank for quantile in quantiles for rank in _neighbours(int(ends[-1]), quantile)[:2]}
    bins = {int(_ASCENDING[np.searchsorted(ends, rank, side="right")]) for rank in ranks}
    bins |= {_bits(value) // BINS for t in thresholds for value in (_at_least(t), _more_than(t))}
    return bins | _ZEROS if bins & _ZEROS else bins


class Distribution:
    """All values of a dim, as the counts of their upper bits, and of the lower bits in the refined bins."""

    def __init__(self, upper: np.ndarray, lower: Mapping[int, np.ndarray]):
        self._upper, self._lower = upper, lower
        self._ends = np.cumsum(upper[_ASCENDING])
        self.count = int(self._ends[-1])

    def quantile(self, quantile: float) -> float:
        """Return what np.quantile returns for the values as float64, rounding included."""
        below, above, part = _neighbours(self.count, quantile)
        a, b = self._order_statistic(below), self._order_statistic(above)
        return (a + (b - a) * part if part < 0.5 else b - (b - a) * (1 - part)) + 0.0  # 0, not −0

    def share_beyond(self, low: float, high: float) -> float:
        """Return the share of values < `low` or > `high`, each a refined quantile or a threshold."""
        return (self._count_before(_at_least(low)) + self.count - self._count_before(_more_than(high))) / self.count

    def _order_statistic(self, rank: int) -> float:
        """Return the value at index `rank` in ascending order."""
        place = int(np.searchsorted(self._ends, rank, side="right"))
        number = int(_ASCENDING[place])
        rank -= int(self._ends[place] - self._upper[number])
        half = int(np.searchsorted(np.cumsum(self._ascending_lower(number)), rank, side="right"))
        bits = number * BINS + (BINS - 1 - half if number >= SIGN else half)
        return float(np.uint32(bits).view(np.float32))

    def _count_before(self, value: np.float32) -> int:
        """Return the number of values before `value` in the order of bits, where −0 comes before 0."""
        number, half = divmod(_bits(value), BINS)
        place = SIGN + number if number < SIGN else BINS - 1 - number
        before = int(self._ends[place] - self._upper[number])
        if self._upper[number] and number in self._lower:  # else the value is at the edge of a bin, or the bin is empty
            before += int(self._ascending_lower(number)[: BINS - 1 - half if number >= SIGN else half].sum())
        return before

    def _ascending_lower(self, number: int) -> np.ndarray:
        return self._lower[number][::-1] if number >= SIGN else self._lower[number]


def _neighbours(count: int, quantile: float) -> tuple[int, int, float]:
    """Return (rank below, rank above, fraction between them) of a quantile by linear interpolation."""
    place = (count - 1) * quantile
    below = math.floor(place)
    return below, min(below + 1, count - 1), place - below


def _bits(value: np.float32) -> int:
    return int(value.view(np.uint32))


@np.errstate(over="ignore")  # values beyond float32 become infinity
def _at_least(threshold: float) -> np.float32:
    """Return the smallest float32 ≥ `threshold`; −0 for 0."""
    value = np.float32(threshold)
    value = np.nextafter(value, np.float32(np.inf)) if float(value) < threshold else value
    return np.float32(-0.0) if value == 0 else value


@np.errstate(over="ignore")
def _more_than(threshold: float) -> np.float32:
    """Return the smallest float32 > `threshold`."""
    value = np.float32(threshold)
    return np.nextafter(value, np.float32(np.inf)) if float(value) <= threshold else value
