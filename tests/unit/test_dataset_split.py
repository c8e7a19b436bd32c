"""Held-out episodes are a function of seed and fraction, and grow by adding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pisft.data import DataError
from pisft.data.split import split


@given(
    st.lists(st.integers(0, 500), min_size=4, max_size=80, unique=True),
    st.floats(0, 0.7),
    st.floats(0, 0.7),
    st.integers(0, 5),
)
def test_the_parts_are_disjoint_whole_and_nested(episodes, a, b, seed):
    train, heldout = split(episodes, min(a, b), seed)
    assert sorted(train + heldout) == sorted(episodes)
    assert (train, heldout) == (sorted(train), sorted(heldout))
    assert set(heldout) <= set(split(episodes, max(a, b), seed)[1])
    assert (train, heldout) == split(episodes[::-1], min(a, b), seed)


@pytest.mark.parametrize(
    ("n", "fraction", "count"), [(150, 0.04, 6), (10, 0.02, 1), (10, 0.0, 0), (100, 0.07, 7), (7, 0.5, 4)]
)
def test_the_count_is_rounded_up(n, fraction, count):
    assert len(split(range(n), fraction, 0)[1]) == count


def test_seeds_differ():
    assert split(range(100), 0.1, 0) != split(range(100), 0.1, 1)


def test_validation_without_held_out_episodes_is_an_error():
    with pytest.raises(DataError, match=r"heldout_fraction 0.0 holds out no episode to validate on"):
        split(range(10), 0.0, 0, validated=True)


@pytest.mark.parametrize(("n", "fraction"), [(1, 0.02), (0, 0.0)])
def test_nothing_left_to_train_on_is_an_error(n, fraction):
    with pytest.raises(DataError, match="leaves none to train on"):
        split(range(n), fraction, 0)
