"""Quantiles and shares by counting bits are those of the sorted values, whatever these are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pisft.data.statistics.order_statistics import BINS, Distribution, add_lower, add_upper, bins_to_refine

QUANTILES = (0.01, 0.5, 0.99)

values = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 1.0, 1.0000001, -1.0]),
)
thresholds = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, -0.0, 1e-50, -1e-50, 1e300, -1e300]))


def distribution(x: np.ndarray, weights: np.ndarray | None, limits: tuple[float, ...] = ()) -> Distribution:
    upper = np.zeros(BINS, np.int64)
    for part in np.array_split(np.arange(len(x)), 3):
        add_upper(upper, x[part], None if weights is None else weights[part])
    lower = {number: np.zeros(BINS, np.int64) for number in bins_to_refine(upper, QUANTILES, limits)}
    for part in np.array_split(np.arange(len(x)), 2):
        add_lower(lower, x[part], None if weights is None else weights[part])
    return Distribution(upper, lower)


@settings(max_examples=300, deadline=None)
@given(
    x=hnp.arrays(np.float32, st.integers(1, 40), elements=values),
    seed=st.none() | st.integers(0, 100),
    limits=st.tuples(thresholds, thresholds),
)
def test_quantiles_and_shares_are_those_of_the_sorted_values(x, seed, limits):
    weights = None if seed is None else np.random.default_rng(seed).integers(1, 60, len(x))
    found = distribution(x, None if seed is None else weights.astype(float), limits)
    whole = (x if seed is None else np.repeat(x, weights)).astype(np.float64)
    for quantile in QUANTILES:
        value = found.quantile(quantile)
        assert value == np.quantile(whole, quantile)
        assert found.share_beyond(value, value) == (whole != value).mean()
    low, high = sorted(limits)
    assert found.share_beyond(low, high) == ((whole < low) | (whole > high)).mean()


def test_zero_has_no_sign():
    assert str(distribution(np.array([-0.0, -0.0], np.float32), None).quantile(0.5)) == "0.0"
