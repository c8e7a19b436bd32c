"""Confidence intervals of success rates, and tests of whether and by how much two differ.

Start from `wilson95`; `mean95` is for quantities that are not rates. `fisher` and `paired` give p-values,
`difference95` and `paired_difference95` intervals of the difference, `episodes_needed` the sample size to detect one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import sqrt
from statistics import fmean, stdev

import numpy as np
from scipy.stats import binom, binomtest, fisher_exact, hypergeom, t

Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson95(successes: int, episodes: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a proportion; (0, 1) without episodes.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if episodes == 0:
        return 0.0, 1.0
    p, z2 = successes / episodes, Z95**2
    centre = (p + z2 / (2 * episodes)) / (1 + z2 / episodes)
    half = Z95 / (1 + z2 / episodes) * sqrt(p * (1 - p) / episodes + z2 / (4 * episodes**2))
    # At 0 and at n successes one end is exactly 0 or 1, apart from rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == episodes else min(1.0, centre + half)
    return low, high


def fisher(successes_a: int, episodes_a: int, successes_b: int, episodes_b: int) -> float:
    """Return the two-sided p-value of Fisher's exact test that two unpaired success rates are equal."""
    table = [[successes_a, episodes_a - successes_a], [successes_b, episodes_b - successes_b]]
    return float(fisher_exact(table).pvalue)  # pyright: ignore[reportAttributeAccessIssue] scipy is untyped


def paired(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of the exact binomial (McNemar) test for episodes on the same seeds.

    `only_a` is the number of seeds on which only a succeeded, `only_b` only b; 1 if there are none.
    """
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def difference95(successes_a: int, episodes_a: int, successes_b: int, episodes_b: int) -> tuple[float, float]:
    """Return the 95 % interval of rate a − rate b for unpaired episodes.

    R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17
    (1998), method 10.
    """
    if not episodes_a or not episodes_b:
        return -1.0, 1.0
    return between95(
        successes_a / episodes_a,
        successes_b / episodes_b,
        wilson95(successes_a, episodes_a),
        wilson95(successes_b, episodes_b),
    )


def paired_difference95(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """Return the 95 % interval of rate a − rate b for episodes on the same seeds, from the counts of who succeeded.

    R. G. Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired data,
    Statistics in Medicine 17 (1998), method 10.
    """
    n = both + only_a + only_b + neither
    if n == 0:
        return -1.0, 1.0
    a, b = both + only_a, both + only_b
    product = a * (n - a) * b * (n - b)
    excess = both * neither - only_a * only_b
    excess = max(excess - n / 2, 0.0) if excess > 0 else excess
    correlation = excess / sqrt(product) if product else 0.0
    return between95(a / n, b / n, wilson95(a, n), wilson95(b, n), correlation)


def between95(
    a: float,
    b: float,
    interval_a: tuple[float, float],
    interval_b: tuple[float, float],
    correlation: float = 0.0,
) -> tuple[float, float]:
    """Return the 95 % interval of a − b from those of a and b, by Newcombe's method 10, for any two estimates."""
    down_a, up_a, down_b, up_b = a - interval_a[0], interval_a[1] - a, b - interval_b[0], interval_b[1] - b
    below = sqrt(max(0.0, down_a**2 - 2 * correlation * down_a * up_b + up_b**2))
    above = sqrt(max(0.0, up_a**2 - 2 * correlation * up_a * down_b + down_b**2))
    return a - b - below, a - b + above


def mean95(values: Sequence[float]) -> tuple[float, float] | None:
    """Return Student's 95 % interval of the mean of `values`; None for fewer than two, which have no spread."""
    if len(values) < 2:
        return None
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def power(rate_a: float, rate_b: float, episodes: int, alpha: float = 0.05) -> float:
    """Return the probability that Fisher's exact test distinguishes the rates with `episodes` of each."""
    a, b = (binom.pmf(np.arange(episodes + 1), episodes, rate) for rate in (rate_a, rate_b))
    return float(a @ _rejected(episodes, alpha) @ b)


def episodes_needed(rate_a: float, rate_b: float, wanted: float = 0.8, alpha: float = 0.05, most: int = 5000) -> int:
    """Return the number of episodes of each that distinguishes the rates with probability `wanted`.

    Raises `ValueError` above `most`. Since counts are integers, power does not grow with every episode: beyond this
    number it may fall below `wanted` by no more than that effect.
    """
    low, high = 1, min(2, most)
    while power(rate_a, rate_b, high, alpha) < wanted:
        if high == most:
            raise ValueError(f"{rate_a:g} and {rate_b:g} cannot be distinguished with {most} episodes of each")
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(rate_a, rate_b, middle, alpha) >= wanted else (middle, high)
    return high


@cache
def _rejected(n: int, alpha: float) -> np.ndarray:
    """Return (n + 1, n + 1): whether Fisher's test rejects i successes of n against j of n."""
    rejected = np.zeros((n + 1, n + 1), dtype=bool)
    for total in range(2 * n + 1):
        i = np.arange(max(0, total - n), min(n, total) + 1)
        probabilities = hypergeom.pmf(i, 2 * n, total, n)
        order = np.argsort(probabilities, kind="stable")
        sums = np.cumsum(probabilities[order])
        # at most as likely, within rounding
        last = np.searchsorted(probabilities[order], probabilities * (1 + 1e-7), side="right") - 1
        rejected[i, total - i] = sums[last] <= alpha
    return rejected
