"""Videos show what happened, are the same bytes every time, and play in browsers."""

import av
import numpy as np
import pytest
from metaworld_config import simulator
from pisft.evaluate.episode import Episode
from pisft.evaluate.video import choose, film
from pisft.simulators.base import SimulatorError, open_simulator


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
    assert np.abs(frames[-1].astype(int) - sim.picture()).mean() < 6


def test_a_replay_that_differs_from_the_rollout_is_an_error(episode, tmp_path):
    wrong = Episode(episode.task, episode.seed + 1, True, 1, episode.steps, np.zeros_like(episode.actions))
    with pytest.raises(SimulatorError, match="seed 11: a replay took"):
        film(simulator(), [wrong], tmp_path, workers=1)
    assert not list(tmp_path.iterdir())


def test_a_success_and_a_failure_of_each_task_are_chosen():
    outcomes = [("a", 1, True), ("a", 2, True), ("a", 3, False), ("b", 1, False), ("b", 2, False)]
    episodes = [Episode(task, seed, success, int(success), 1, np.zeros((1, 4))) for task, seed, success in outcomes]
    assert [(e.task, e.seed) for e in choose(episodes)] == [("a", 1), ("a", 3), ("b", 1)]
