"""Held-out episodes are a function of seed and fraction, and grow by adding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pisft.config.experiment import DatasetUse, Split
from pisft.data import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.split import parts, split
from vector_dataset import write


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


def test_something_is_held_out_unless_the_fraction_is_0():
    assert len(split(range(10), 1e-12, 0)[1]) == 1 and not split(range(1), 0.0, 0)[1]


@pytest.mark.parametrize(("n", "fraction"), [(1, 0.02), (0, 0.0)])
def test_nothing_left_to_train_on_is_an_error(n, fraction):
    with pytest.raises(DataError, match="leaves none to train on"):
        split(range(n), fraction, 0)


def test_few_demonstrations_of_each_task_are_the_first_and_leave_what_is_held_out(tmp_path):
    data = LeRobotData(write(tmp_path / "d", {"state": np.zeros((24, 1))}, [2] * 12))
    data.task_index = np.repeat(np.arange(12) % 3, 2)
    whole, heldout = parts(DatasetUse(name="d"), data, Split(heldout_fraction=0.25, seed=0))
    few, same = parts(DatasetUse(name="d", episodes_per_task=1), data, Split(heldout_fraction=0.25, seed=0))
    task = {episode: int(data.task_index[data.episode_slices[episode].start]) for episode in range(12)}
    assert same == heldout and len(heldout) == 3
    assert few == sorted(min(e for e in whole if task[e] == t) for t in {task[e] for e in whole})
