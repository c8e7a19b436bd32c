"""Rollouts are a function of the protocol: not of the number of processes, nor of when other episodes end."""

import numpy as np
import pytest
from metaworld_config import simulator
from pisft.evaluate.rollout import noise, rollout

EPISODES = [(task, seed) for task in ("drawer-close", "button-press-topdown") for seed in (10, 11, 12)]
HANDLE = np.array([0.0, 0.75, 0.1])


class Reacher:
    """Moves the hand to the drawer, with the noise that it is given; what it does depends on the whole batch."""

    noise_shape = (6, 4)

    def __init__(self):
        self.batches = []

    def infer(self, observations, draws):
        self.batches.append((len(observations), draws.shape))
        assert all(o["observation.image"].shape == (32, 32, 3) for o in observations)
        chunks = []
        for observation, draw in zip(observations, draws, strict=True):
            towards = 10 * (HANDLE - observation["observation.state"][:3])
            chunks.append(np.r_[towards, 0.0] + 0.3 * draw)
        return chunks


def _run(workers, episodes=EPISODES, batch_size=4, seed=0, max_steps=60):
    policy = Reacher()
    done, _ = rollout(
        simulator(max_steps=max_steps),
        episodes,
        policy,
        replan_steps=5,
        batch_size=batch_size,
        seed=seed,
        workers=workers,
    )
    return policy, done


def _same(one, other):
    np.testing.assert_array_equal(one.actions, other.actions)
    return (one.task, one.seed, one.success, one.steps) == (other.task, other.seed, other.success, other.steps)


@pytest.fixture(scope="module")
def by_one_worker():
    return _run(1)


def test_two_workers_give_the_results_of_one(by_one_worker):
    assert all(_same(a, b) for a, b in zip(by_one_worker[1], _run(2)[1], strict=True))


def test_results_keep_the_order_and_hold_what_was_executed(by_one_worker):
    episodes = by_one_worker[1]
    assert [(e.task, e.seed) for e in episodes] == EPISODES
    assert all(len(e.actions) == e.steps and (e.success or e.steps == 60) for e in episodes)
    assert {e.success for e in episodes} == {True, False}


def test_every_inference_has_the_whole_batch(by_one_worker):
    assert set(by_one_worker[0].batches) == {(4, (4, 6, 4))}


def test_an_episode_depends_on_no_other_where_the_policy_does_not(by_one_worker):
    _, (alone,) = _run(1, EPISODES[4:5], batch_size=1)
    assert _same(alone, by_one_worker[1][4])


def test_another_seed_gives_other_actions(by_one_worker):
    _, (other,) = _run(1, EPISODES[:1], seed=1)
    assert not np.array_equal(other.actions[:5], by_one_worker[1][0].actions[:5])


def test_noise_is_a_function_of_its_arguments():
    arguments = (0, "drawer-close", 10, 0)
    np.testing.assert_array_equal(noise(*arguments, (6, 4)), noise(*arguments, (6, 4)))
    others = [(1, "drawer-close", 10, 0), (0, "x", 10, 0), (0, "drawer-close", 11, 0), (0, "drawer-close", 10, 1)]
    assert all((noise(*other, (6, 4)) != noise(*arguments, (6, 4))).all() for other in others)
    many = noise(*arguments, (100, 100))
    assert many.dtype == np.float32 and abs(many.mean()) < 0.03 and abs(many.std() - 1) < 0.03
