"""eval.json is a function of the checkpoint and the protocol, and says what it was measured on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty_simulator import FaultyConfig
from pisft.config.evaluation import OpenLoop
from pisft.config.experiment import Split
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.preprocess import Preprocessor
from pisft.data.loading.sampling import noise_and_time
from pisft.data.loading.training_set import TrainingSet
from pisft.data.statistics.norm_stats import load as load_norm_stats
from pisft.data.transforms.format import Format
from pisft.errors import PisftError
from pisft.evaluate import open_loop as opened
from pisft.evaluate.episode import Episode
from pisft.evaluate.policy import Policy
from pisft.evaluate.run import closed_loop, evaluate, shares, success_rate
from pisft.model import Pi0
from pisft.records.evaluation import EpisodeOfDataset
from safetensors.torch import load_file, save_file
from tiny_policy import make_policy

EPISODES = [EpisodeOfDataset(dataset="tiny", episode=number) for number in (1, 3)]  # of 10 and 15 frames


@pytest.fixture(scope="module")
def experiment(video_dataset, tmp_path_factory):
    """(config, folder) of a tiny model that was never trained, to be rolled out in MetaWorld."""
    folder = tmp_path_factory.mktemp("experiment")
    return make_policy(folder, video_dataset), folder


def _evaluate(experiment, workers):
    config, folder = experiment
    content, timing = evaluate(config, folder / "results/tiny", folder / "data", torch.device("cpu"), workers)
    return content.model_dump(mode="json"), timing


def test_an_evaluation_is_the_same_for_every_number_of_workers_and_follows_the_schema(experiment):
    content, timing = _evaluate(experiment, 1)
    videos = experiment[1] / "results/tiny/videos"
    before = {path.name: path.read_bytes() for path in videos.iterdir()}
    again, _ = _evaluate(experiment, 2)
    assert json.dumps(again, sort_keys=True) == json.dumps(content, sort_keys=True)
    assert {path.name: path.read_bytes() for path in videos.iterdir()} == before

    assert set(timing) == {"sampling", "open_loop_s", "rollouts_s", "videos_s", "lost_simulators", "not_filmed"}
    assert content["experiment"] == "tiny" and content["checkpoint"]["step"] == 8
    assert [list(episode) for episode in content["open_loop"]["episodes"]] == [["dataset", "episode"]]
    assert len(content["open_loop"]["action_error"]["robot"]["per_dim"]) == 4
    assert (experiment[1] / "results/tiny/traces.json").exists()
    closed = content["closed_loop"]
    assert closed["protocol"]["seeds"] == {"range": "testing", "first": 11, "last": 12}
    assert closed["protocol"]["settings"]["render"]["size"] == 32
    assert [(e["task"], e["seed"]) for e in closed["episodes"]] == [
        (task, seed) for task in ("button-press-topdown", "drawer-close") for seed in (11, 12)
    ]
    assert set(closed["suites"]) == {"both", "one"}
    assert closed["suites"]["one"] == closed["tasks"]["drawer-close"]
    assert closed["overall"]["episodes"] == 4
    shown = {e["video"] for e in closed["episodes"]} - {None}
    assert shown == {f"videos/{name}" for name in before} and len(shown) >= 2
    assert str(experiment[1]) not in json.dumps(content)


def test_where_nothing_is_held_out_the_episodes_are_those_that_were_trained_on_and_eval_json_says_so(experiment):
    config, folder = experiment
    assert _open_loop_alone(config, folder).held_out
    config = config.model_copy(update={"split": Split(heldout_fraction=0)})
    opened = _open_loop_alone(config, folder)
    assert not opened.held_out and [each.episode for each in opened.episodes] == [0, 1, 2, 3, 4]


def _open_loop_alone(config, folder):
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"closed_loop": None})})
    return evaluate(config, folder / "results/tiny", folder / "data", torch.device("cpu"), 1)[0].open_loop


def test_a_simulator_that_repeats_nothing_has_its_result_and_says_so(experiment, tmp_path, monkeypatch):
    config, folder = experiment
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    faulty = FaultyConfig(**config.simulators["mw"].model_dump(), fault="drifts", notes=tmp_path / "notes")
    run_dir = shutil.copytree(folder / "results/tiny", tmp_path / "tiny")
    config = config.model_copy(update={"simulators": {"mw": faulty}})
    content, timing = evaluate(config, run_dir, folder / "data", torch.device("cpu"), 1)
    assert content.closed_loop.overall.episodes == 4
    assert "not deterministic" in timing["not_filmed"][0]
    shown = {episode.video for episode in content.closed_loop.episodes} - {None}
    assert shown == {f"videos/{path.name}" for path in (run_dir / "videos").iterdir()}


@pytest.mark.parametrize("cameras", [{"base_0_rgb": "observation.image"}, {}])
def test_the_cameras_that_are_drawn_are_the_formats(experiment, cameras):
    class Looking:
        noise_shape = (4, 32)

        def infer(self, observations, noise):
            assert all(set(seen) == {*cameras.values(), "observation.state", "task"} for seen in observations)
            return np.zeros((len(observations), 4, 4))

    fmt = experiment[0].format.model_copy(update={"cameras": cameras})
    config = experiment[0].model_copy(update={"format": fmt})
    assert closed_loop(config, Looking(), None, 1, {}).overall.episodes == 4


def test_without_a_closed_loop_there_is_none(experiment):
    config, folder = experiment
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"closed_loop": None})})
    content, timing = evaluate(config, folder / "results/tiny", folder / "data", torch.device("cpu"), 1)
    assert content.closed_loop is None and set(timing) == {"sampling", "open_loop_s"}


@pytest.mark.parametrize("part", ["weights", "loss", "rollout"])
def test_a_policy_that_gives_no_numbers_is_an_error_that_says_where(experiment, tmp_path, monkeypatch, part):
    config, folder = experiment
    run_dir = shutil.copytree(folder / "results/tiny", tmp_path / "tiny")
    if part == "weights":
        weights = load_file(run_dir / "checkpoint/model.safetensors")
        weights["action_out_proj.bias"][2] = float("nan")
        save_file(weights, run_dir / "checkpoint/model.safetensors")
    elif part == "loss":
        monkeypatch.setattr(Pi0, "flow_loss", lambda self, *_: torch.full((1, 8, 4, 32), torch.inf))

    class Broken:
        noise_shape = (4, 32)

        def infer(self, observations, noise):
            return np.full((len(observations), 4, 4), np.inf)

    told = {
        "weights": r"tiny, episode \d, frame 0: the predicted action's .+ is nan; expected finite numbers\. The",
        "loss": r"tiny, episode \d, frame 0: the flow loss is inf",
        "rollout": r"button-press-topdown, seed 11: the policy's action at step 0, dim 0, is inf",
    }
    with pytest.raises(PisftError, match=told[part]):
        evaluate(config, run_dir, folder / "data", torch.device("cpu"), 1, actor=Broken())


def test_open_loop_is_of_all_datasets_of_a_mixture(experiment, tmp_path):
    config, folder = experiment
    data = shutil.copytree(folder / "data", tmp_path / "data", symlinks=True)
    shutil.copytree(data / "tiny", data / "other", symlinks=True)
    (use,) = config.datasets
    changes = {
        "datasets": [use, use.model_copy(update={"name": "other"})],
        "split": config.split.model_copy(update={"heldout_fraction": 0.5}),
        "eval": config.eval.model_copy(update={"open_loop": OpenLoop(episodes=3), "closed_loop": None}),
    }
    run_dir = folder / "results/tiny"
    content, _ = evaluate(config.model_copy(update=changes), run_dir, data, torch.device("cpu"), 1)
    episodes = [(e.dataset, e.episode) for e in content.open_loop.episodes]
    assert [dataset for dataset, _ in episodes] == ["tiny", "tiny", "other"]
    assert episodes[0][1] == episodes[2][1] < episodes[1][1]


def test_the_episodes_of_a_mixture_are_shared_out_as_far_as_there_are_any():
    assert shares([10, 10], 5) == [3, 2] and shares([1, 10, 4], 12) == [1, 7, 4]
    assert shares([2, 1], 50) == [2, 1] and shares([5, 5, 5], 2) == [1, 1, 0]


def test_success_rates_add_up():
    episodes = [Episode("a", i, i < 3, int(i < 3), 1, np.zeros((1, 4))) for i in range(4)]
    rate = success_rate(episodes)
    assert (rate.successes, rate.episodes, rate.success) == (3, 4, 0.75)
    assert 0.2 < rate.wilson95[0] < 0.75 < rate.wilson95[1] < 1.0


@pytest.fixture
def policy_and_frames(experiment):
    config, folder = experiment
    stats = load_norm_stats(folder / "results/tiny/norm_stats.json")
    preprocessor = Preprocessor(config.model, Format(config.format), stats)
    data = LeRobotData(folder / "data/tiny/lerobot")
    return Policy(Pi0(config.model), preprocessor), TrainingSet([data], preprocessor, [[1, 3]])


def test_a_policy_gives_each_observation_its_chunk_of_robot_actions(policy_and_frames):
    policy, frames = policy_and_frames
    samples = [frames.sample(i) for i in (0, 5, 9)]
    noise = np.random.default_rng(0).standard_normal((3, *policy.noise_shape), dtype=np.float32)
    together = policy.infer(samples, noise)
    assert [chunk.shape for chunk in together] == [(4, 4)] * 3
    (alone,) = policy.infer(samples[1:2], noise[1:2])
    np.testing.assert_allclose(together[1], alone, atol=1e-4)


def test_open_loop_counts_each_action_once_and_nothing_past_the_end(policy_and_frames, monkeypatch):
    policy, frames = policy_and_frames
    preprocessor = policy.preprocessor
    monkeypatch.setattr(policy, "sample", lambda items, noise: np.stack([item.actions for item in items]))
    offset = np.array([0.5, 0.0, -0.25, 0.0], np.float32) * np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    exact = preprocessor.actions
    monkeypatch.setattr(preprocessor, "actions", lambda chunk, state: exact(chunk, state) + offset)
    result, traces = opened.open_loop(policy, frames, EPISODES)
    assert result.frames == 3 + 4  # of 10 and 15 frames, the last chunks have 2 and 3
    weights = np.array([7, 7, 6, 5])  # chunks that reach each step
    mean = (weights * [1, 2, 3, 4]).sum() / 25
    robot, normalised = result.action_error.robot, result.action_error.normalised
    assert list(robot.per_dim.values()) == pytest.approx([0.5 * mean, 0.0, 0.25 * mean, 0.0], abs=1e-5)
    assert robot.mean == pytest.approx(0.1875 * mean, abs=1e-5)
    assert robot.per_step == pytest.approx([0.1875, 0.375, 0.5625, 0.75], abs=1e-5)
    assert sum(robot.per_task.values()) / len(robot.per_task) > 0
    assert normalised.mean == 0.0 == result.action_spread.mean
    assert [len(trace["recorded"]) for trace in traces] == [len(trace["predicted"]) for trace in traces] == [10, 15]
    assert np.array(traces[0]["predicted"])[4, 0] - np.array(traces[0]["recorded"])[4, 0] == pytest.approx(
        0.5, abs=1e-5
    )


def test_open_loop_tells_how_far_sampled_chunks_lie_apart(policy_and_frames):
    policy, frames = policy_and_frames
    result, _ = opened.open_loop(policy, frames, EPISODES)
    again, _ = opened.open_loop(policy, frames, EPISODES)
    assert result == again
    names = policy.preprocessor.format.robot_names(frames.features)
    assert list(result.action_spread.per_dim) == names == list(result.action_error.robot.per_dim)
    assert result.action_spread.mean > 0


def test_open_loop_flow_loss_is_over_the_real_dims_at_fixed_noise(policy_and_frames, monkeypatch):
    policy, frames = policy_and_frames
    monkeypatch.setattr(policy.sampler.model, "velocity", lambda observation, x_t, time: torch.zeros_like(x_t))
    chosen = np.array([0, 4, 8, 10, 14, 18, 22])
    noise, _ = noise_and_time(opened.SEED, 0, np.arange(7), opened.DRAWS, *policy.noise_shape)
    _, actions = frames.batch(chosen)
    expected = ((noise - actions.numpy()[:, None]) ** 2)[..., :4].mean()
    assert opened.open_loop(policy, frames, EPISODES)[0].flow_loss == pytest.approx(expected, rel=1e-5)
    assert opened.open_loop(policy, frames, EPISODES) == opened.open_loop(policy, frames, EPISODES)
