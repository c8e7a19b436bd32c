"""Intervals and tests of success rates agree with published and hand-computed values."""

import pytest
from pisft.evaluate.intervals import fisher, paired, wilson95


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
