"""Videos show what happened, are the same bytes every time, and play in browsers."""

from dataclasses import replace

import av
import numpy as np
import pytest
from metaworld_config import simulator
from pisft.evaluate.episode import Episode
from pisft.evaluate.video import choose, film
from pisft.simulators.base import open_simulator


@pytest.fixture(scope="module")
def episode():
    sim = open_simulator(simulator())
    sim.reset("drawer-close", 10)
    actions = []
    while not sim.done:
        actions.append(sim.expert_action())
        sim.step(actions[-1][None])
    return Episode("drawer-close", 10, sim.success, sim.completed, sim.steps, np.stack(actions))


def test_the_same_episode_makes_the_same_bytes_and_stale_videos_go(episode, tmp_path):
    failure = Episode("button-press-topdown", 11, False, 0, 20, np.zeros((20, 4), np.float32))
    film(simulator(), [episode, failure], tmp_path / "a", workers=2)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/drawer-close_99.mp4").write_text("of an earlier evaluation")
    film(simulator(), [episode], tmp_path / "b", workers=1)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["button-press-topdown_11.mp4", "drawer-close_10.mp4"]
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["drawer-close_10.mp4"]
    assert (tmp_path / "a/drawer-close_10.mp4").read_bytes() == (tmp_path / "b/drawer-close_10.mp4").read_bytes()

    content = (tmp_path / "a/drawer-close_10.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # starts to play before it has loaded
    with av.open(str(tmp_path / "a/drawer-close_10.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (240, 240, 20)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 1 + -(-episode.steps // 4)
    sim = open_simulator(simulator())
    sim.reset("drawer-close", 10)
    sim.step(episode.actions)
    assert np.abs(frames[-1].astype(int) - sim.render()).mean() < 6


def test_a_replay_that_differs_from_the_rollout_is_told_and_the_others_are_filmed(episode, tmp_path):
    wrong = replace(episode, seed=episode.seed + 1, success=False, actions=np.zeros_like(episode.actions), steps=3)
    (tmp_path / "drawer-close_11.mp4").write_text("of an earlier evaluation, in which it was another")
    filmed = film(simulator(), [wrong, episode], tmp_path, workers=1)
    (why,) = filmed.failed
    assert f"drawer-close, seed 11: failure after {episode.steps} steps in a replay, failure after 3 steps in" in why
    assert "not deterministic" in why and filmed.lost == []
    assert [path.name for path in tmp_path.iterdir()] == ["drawer-close_10.mp4"]


def test_a_simulator_that_cannot_be_filmed_is_told(episode, tmp_path):
    filmed = film(simulator(), [replace(episode, task="fly")], tmp_path, workers=1)
    assert len(filmed.failed) == 1 and filmed.failed[0].startswith("1 of 1 episodes: MetaWorld has no task 'fly'")


def test_a_success_and_a_failure_of_each_task_are_chosen():
    outcomes = [("a", 1, True), ("a", 2, True), ("a", 3, False), ("b", 1, False), ("b", 2, False)]
    episodes = [Episode(task, seed, success, int(success), 1, np.zeros((1, 4))) for task, seed, success in outcomes]
    assert [(e.task, e.seed) for e in choose(episodes)] == [("a", 1), ("a", 3), ("b", 1)]
