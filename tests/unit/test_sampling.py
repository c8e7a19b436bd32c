"""What is drawn for a step is a function of seed, step and place alone."""

import numpy as np
import pytest
from pisft.data.loading.sampling import _epoch, batch_indices, noise_and_time


def order(seed, batch, steps, sizes, weights=None):
    return np.concatenate([batch_indices(seed, step, batch, sizes, weights) for step in range(steps)])


def test_an_epoch_shows_every_frame_once_and_the_next_in_another_order():
    stream = order(0, 8, 30, [40, 20])
    epochs = stream[: 4 * 60].reshape(4, 60)
    for epoch in epochs:
        assert sorted(epoch) == list(range(60))
    assert not np.array_equal(epochs[0], epochs[1])


def test_the_order_does_not_depend_on_the_batch_size_or_on_what_was_asked_before():
    stream = order(3, 6, 20, [50])
    np.testing.assert_array_equal(order(3, 24, 5, [50]), stream)
    _epoch.cache_clear()
    np.testing.assert_array_equal(batch_indices(3, 17, 6, [50]), stream[17 * 6 : 18 * 6])


def test_a_batch_may_be_larger_than_an_epoch():
    assert sorted(batch_indices(0, 0, 12, [4])) == sorted([0, 1, 2, 3] * 3)


def test_seeds_give_different_orders():
    assert not np.array_equal(order(0, 50, 1, [50]), order(1, 50, 1, [50]))


def test_weights_say_how_often_a_frame_is_seen():
    counts = np.bincount(order(0, 10, 5, [10, 20], [1.0, 2.0]), minlength=30)
    assert (counts[:10] == 1).all()
    assert (counts[10:] == 2).all()
    counts = np.bincount(order(0, 10, 4, [20, 10], [0.5, 1.0]), minlength=30)
    assert (counts[:20] == 1).all()
    assert (counts[20:] == 2).all()


def test_a_fractional_weight_repeats_a_part_that_changes_with_the_epoch():
    stream = order(0, 25, 8, [10, 10], [1.0, 1.5])
    counts = np.array([np.bincount(epoch, minlength=20) for epoch in stream.reshape(8, 25)])
    assert (counts[:, :10] == 1).all()
    assert set(np.unique(counts[:, 10:])) == {1, 2}
    assert (counts[:, 10:].sum(1) == 15).all()
    assert len(np.unique(counts, axis=0)) > 1


def test_noise_and_time_do_not_depend_on_how_the_batch_is_split():
    noise, time = noise_and_time(0, 5, range(12), 4, 10, 32)
    assert (noise.shape, time.shape) == ((12, 4, 10, 32), (12, 4))
    assert noise.dtype == time.dtype == np.float32
    for part in (range(5), range(5, 12), [7]):
        n, t = noise_and_time(0, 5, part, 4, 10, 32)
        np.testing.assert_array_equal(n, noise[list(part)])
        np.testing.assert_array_equal(t, time[list(part)])


@pytest.mark.parametrize("other", [(1, 5), (0, 6)])
def test_seed_and_step_give_other_noise(other):
    noise, time = noise_and_time(0, 5, [3], 1, 2, 4)
    n, t = noise_and_time(*other, [3], 1, 2, 4)
    assert not np.isclose(noise, n).any()
    assert not np.isclose(time, t).any()


def test_no_two_samples_share_noise():
    draws = np.concatenate([noise_and_time(0, step, range(64), 1, 1, 8)[0] for step in range(8)])
    assert len(np.unique(draws)) == draws.size


def test_noise_is_standard_normal_and_time_is_the_scaled_beta():
    noise, time = noise_and_time(0, 0, range(256), 64, 2, 8)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert time.min() >= 0.001
    assert time.max() <= 1.0
    beta = (time.astype(float) - 0.001) / 0.999
    assert abs(beta.mean() - 1.5 / 2.5) < 0.01
    for x in (0.2, 0.5, 0.9):
        assert abs((beta <= x).mean() - x**1.5) < 0.01
