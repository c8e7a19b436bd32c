"""Rollouts are a function of the protocol: not of the number of processes, nor of when other episodes end."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from faulty_simulator import FaultyConfig
from metaworld_config import simulator
from pisft.evaluate.finite import PolicyError
from pisft.evaluate.rollout import noise, rollout
from pisft.simulators.base import SimulatorError

EPISODES = [(task, seed) for task in ("drawer-close", "button-press-topdown") for seed in (10, 11, 12)]
UNSEEN = np.zeros((32, 32, 3), np.uint8)
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


def _rollout(
    workers, policy, episodes=EPISODES, batch_size=4, seed=0, max_steps=60, state=None, sim=None, cameras=None
):
    return rollout(
        sim or simulator(max_steps=max_steps),
        episodes,
        policy,
        replan_steps=5,
        batch_size=batch_size,
        seed=seed,
        workers=workers,
        cameras=cameras,
        state=state,
    )


def _run(workers, *arguments, **keywords):
    policy = Reacher()
    done, lost = _rollout(workers, policy, *arguments, **keywords)
    assert lost == []
    return policy, done


def _children(program):
    """Processes of ours that run `program`."""
    ours = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in ours if program in Path(f"/proc/{pid}/cmdline").read_text()]


def _same(one, other):
    np.testing.assert_array_equal(one.actions, other.actions)
    return (one.task, one.seed, one.success, one.steps) == (other.task, other.seed, other.success, other.steps)


@pytest.fixture(scope="module")
def by_one_worker():
    return _run(1)


@pytest.mark.slow
@pytest.mark.long  # as where one of two is killed, which runs every time
def test_two_workers_give_the_results_of_one(by_one_worker):
    assert all(_same(a, b) for a, b in zip(by_one_worker[1], _run(2)[1], strict=True))


def test_an_episode_whose_process_is_killed_goes_on_as_if_nothing_had_happened(by_one_worker):
    class Killer(Reacher):
        def infer(self, observations, draws):
            if len(self.batches) == 3:
                for worker in _children("pisft.simulators.worker"):
                    os.kill(worker, signal.SIGKILL)
            return super().infer(observations, draws)

    done, lost = _rollout(2, Killer())
    assert all(_same(a, b) for a, b in zip(by_one_worker[1], done, strict=True))
    assert lost == ["was killed by signal 9"] * 2


@pytest.fixture
def faulty(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))

    def make(fault):
        return FaultyConfig(**simulator(max_steps=60).model_dump(), fault=fault, notes=tmp_path / "notes")

    return make


def test_an_episode_whose_simulator_raises_is_repeated_and_also_a_later_run_tells(by_one_worker, faulty, tmp_path):
    sim, told = faulty("raises once"), ["failed: RuntimeError: the joints exploded"]
    done, lost = _rollout(2, Reacher(), sim=sim, state=tmp_path / "state")
    assert all(_same(a, b) for a, b in zip(by_one_worker[1], done, strict=True))
    assert lost == told
    (tmp_path / "state/1.npz").unlink()
    _, lost = _rollout(1, Reacher(), sim=sim, state=tmp_path / "state")
    assert lost == told


def test_a_simulator_that_raises_every_time_ends_the_evaluation_and_what_was_finished_is_kept(faulty, tmp_path):
    with pytest.raises(SimulatorError, match=r"3 processes in a row .*12.*failed: RuntimeError: the joints exploded"):
        _rollout(1, Reacher(), EPISODES[:3], batch_size=2, sim=faulty("raises"), state=tmp_path / "state")
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["0.npz"]


def test_what_was_finished_before_an_interruption_is_not_run_again(tmp_path):
    class Interrupted(Reacher):
        def infer(self, observations, draws):
            if self.batches and observations[0]["task"] != self.task:
                raise KeyboardInterrupt
            self.task = observations[0]["task"]
            return super().infer(observations, draws)

    with pytest.raises(KeyboardInterrupt):
        _rollout(1, Interrupted(), batch_size=3, state=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0.npz"]
    whole, _ = _rollout(1, Reacher(), batch_size=3)
    policy = Reacher()
    rest, _ = _rollout(1, policy, batch_size=3, state=tmp_path)
    assert all(_same(a, b) for a, b in zip(rest, whole, strict=True))
    assert len(policy.batches) == max(-(-e.steps // 5) for e in whole[3:])
    (tmp_path / "0.npz").write_bytes(b"half of it")
    (tmp_path / "1.npz").unlink()
    again, _ = _rollout(1, Reacher(), batch_size=3, state=tmp_path)
    assert all(_same(a, b) for a, b in zip(again, whole, strict=True))


def test_an_action_that_is_not_a_number_is_an_error_that_says_where():
    class Broken(Reacher):
        def infer(self, observations, draws):
            chunks = super().infer(observations, draws)
            if len(self.batches) == 2:
                chunks[1][3, 2] = np.nan
            return chunks

    with pytest.raises(PolicyError, match=r"drawer-close, seed 11: the policy's action at step 8, dim 2, is nan"):
        _rollout(1, Broken())


def test_what_a_policy_does_not_look_at_is_not_drawn_and_changes_nothing(by_one_worker):
    class Blind(Reacher):
        def infer(self, observations, draws):
            assert all(set(seen) == {"observation.state", "task"} for seen in observations)
            return super().infer([seen | {"observation.image": UNSEEN} for seen in observations], draws)

    done, _ = _rollout(1, Blind(), EPISODES[:4], cameras=())
    assert all(_same(a, b) for a, b in zip(by_one_worker[1], done, strict=False))


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
