"""How sure a success rate is, and whether two differ. Start from `wilson95`; `fisher` and `paired` give p-values."""

from __future__ import annotations

from math import sqrt

from scipy.stats import binomtest, fisher_exact

Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson95(successes: int, episodes: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion; (0, 1) where there are no episodes.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if episodes == 0:
        return 0.0, 1.0
    p, z2 = successes / episodes, Z95**2
    centre = (p + z2 / (2 * episodes)) / (1 + z2 / episodes)
    half = Z95 / (1 + z2 / episodes) * sqrt(p * (1 - p) / episodes + z2 / (4 * episodes**2))
    # At 0 and at n successes one end is exact, but for rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == episodes else min(1.0, centre + half)
    return low, high


def fisher(successes_a: int, episodes_a: int, successes_b: int, episodes_b: int) -> float:
    """Two-sided p-value of Fisher's exact test that two unpaired success rates are one."""
    table = [[successes_a, episodes_a - successes_a], [successes_b, episodes_b - successes_b]]
    return float(fisher_exact(table).pvalue)


def paired(only_a: int, only_b: int) -> float:
    """Two-sided p-value of the exact binomial (McNemar) test for episodes that both ran from the same seeds.

    `only_a` is the number of seeds on which a alone succeeded, `only_b` that of b alone; 1 where there are none.
    """
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
