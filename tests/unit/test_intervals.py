"""Intervals and tests of success rates agree with published and hand-computed values."""

import pytest
from pisft.evaluate.intervals import (
    difference95,
    episodes_needed,
    fisher,
    mean95,
    paired,
    paired_difference95,
    power,
    wilson95,
)
from scipy.stats import binom


@pytest.mark.parametrize(
    ("successes", "episodes", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),  # Newcombe, Statistics in Medicine 17 (1998), table I
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_agrees_with_newcombe(successes, episodes, expected):
    assert wilson95(successes, episodes) == pytest.approx(expected, abs=5e-5)


def test_wilson_is_symmetric_and_stays_in_the_unit_interval():
    for n in (1, 7, 50):
        for k in range(n + 1):
            low, high = wilson95(k, n)
            assert 0.0 <= low <= k / n <= high <= 1.0
            assert wilson95(n - k, n) == pytest.approx((1 - high, 1 - low))


def test_no_episodes_tell_nothing():
    assert wilson95(0, 0) == (0.0, 1.0)


def test_fisher_agrees_with_the_lady_tasting_tea():
    assert fisher(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert fisher(10, 10, 0, 10) == pytest.approx(2 / 184756)
    assert fisher(5, 10, 5, 10) == 1.0


def test_paired_is_the_exact_binomial_test_of_the_discordant_pairs():
    assert paired(6, 0) == pytest.approx(2 / 64)
    assert paired(8, 2) == pytest.approx(2 * (45 + 10 + 1) / 1024)
    assert paired(0, 0) == 1.0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),  # Newcombe, Statistics in Medicine 17 (1998), p. 880, table II, method 10
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
    ],
)
def test_the_difference_agrees_with_newcombe(counts, expected):
    assert difference95(*counts) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((36, 12, 2, 0), (0.0569, 0.3404)),  # the same volume, on paired data, method 10
        ((20, 12, 2, 16), (0.0562, 0.3292)),
    ],
)
def test_the_paired_difference_agrees_with_newcombe(counts, expected):
    assert paired_difference95(*counts) == pytest.approx(expected, abs=5e-5)


def test_differences_turn_their_sign_with_their_sides_and_nothing_tells_nothing():
    assert difference95(3, 9, 5, 8) == pytest.approx([-end for end in reversed(difference95(5, 8, 3, 9))])
    one, other = paired_difference95(5, 4, 1, 3), paired_difference95(5, 1, 4, 3)
    assert one == pytest.approx([-end for end in reversed(other)])
    assert difference95(0, 0, 1, 2) == paired_difference95(0, 0, 0, 0) == (-1.0, 1.0)


def test_power_is_the_share_of_outcomes_that_fisher_rejects():
    n = 8
    outcomes = [(i, j) for i in range(n + 1) for j in range(n + 1) if fisher(i, n, j, n) <= 0.05]
    share = sum(binom.pmf(i, n, 0.9) * binom.pmf(j, n, 0.2) for i, j in outcomes)
    assert power(0.9, 0.2, n) == pytest.approx(share)
    assert power(0.5, 0.5, 30) <= 0.05


def test_the_episodes_needed_are_the_least_in_reach():
    n = episodes_needed(0.9, 0.5)
    assert power(0.9, 0.5, n) >= 0.8 > power(0.9, 0.5, n - 1)
    assert episodes_needed(0.99, 0.5) < n < episodes_needed(0.9, 0.6)
    with pytest.raises(ValueError, match="cannot be distinguished with 20"):
        episodes_needed(0.9, 0.89, most=20)
    assert episodes_needed(0.9, 0.5, most=n) == n
    with pytest.raises(ValueError, match=f"cannot be distinguished with {n - 1}"):
        episodes_needed(0.9, 0.5, most=n - 1)


def test_the_interval_of_a_mean_is_students():
    low, high = mean95([7, 8, 9])
    assert (low, high) == pytest.approx((8 - 2.484, 8 + 2.484), abs=1e-3)  # t = 4.303 with two degrees of freedom
    assert mean95([2, 2]) == (2, 2) and mean95([7]) is None
