"""A training set in memory gives what the dataset and the preprocessor give, frame by frame."""

from pathlib import Path

import numpy as np
import pytest
from lerobot_data import make_lerobot_dataset
from pisft.config import ModelConfig
from pisft.config.format import FormatConfig
from pisft.data import Format
from pisft.data.lerobot.camera import iter_frames
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.preprocess import Preprocessor, collate
from pisft.data.loading.training_set import TrainingSet
from pisft.data.statistics import norm_stats

CAMERA = "observation.image"
MODEL = Path(__file__).parents[2] / "config/models/quickstart.yaml"


def make_preprocessor(root, variant="pi0", **changes) -> Preprocessor:
    content = {
        "cameras": {"base_0_rgb": CAMERA},
        "state": "observation.state",
        "actions": "action",
        "delta_mask": [3, -1],
        "normalisation": "quantile",
        "action_horizon": 5,
    }
    fmt = Format(FormatConfig.model_validate(content | changes))
    changed = {"variant": variant, "image_size": 32, "action_horizon": 5, "max_token_len": 100}
    model = ModelConfig.from_yaml(MODEL).model_copy(update=changed)
    return Preprocessor(model, fmt, norm_stats.compute(root, fmt, 5))


def expected_samples(data, episodes, horizon=5):
    state, action = data.column("observation.state"), data.column("action")
    for episode, frames in iter_frames(data, CAMERA, episodes):
        rows = range(data.num_frames)[data.episode_slices[episode]]
        for row, frame in zip(rows, frames, strict=True):
            chunk = np.stack([action[min(row + ahead, rows[-1])] for ahead in range(horizon)])
            yield {CAMERA: frame, "observation.state": state[row], "action": chunk, "task": data.task(row)}


def assert_same_item(a, b):
    for slot in b.images:
        np.testing.assert_array_equal(a.images[slot], b.images[slot])
    np.testing.assert_array_equal(a.state, b.state)
    np.testing.assert_array_equal(a.actions, b.actions)
    np.testing.assert_array_equal(a.encoded_state, b.encoded_state)
    assert a.tokens == b.tokens


@pytest.mark.parametrize("episodes", [[0, 1, 2, 3, 4], [3, 1]])
def test_items_are_those_of_the_dataset_in_ascending_order_of_episodes(video_dataset, episodes):
    data, preprocessor = LeRobotData(video_dataset), make_preprocessor(video_dataset)
    training_set = TrainingSet([data], preprocessor, [episodes])
    expected = [preprocessor.item(sample) for sample in expected_samples(data, episodes)]
    assert len(training_set) == len(expected) == data.episode_lengths[episodes].sum()
    for index, item in enumerate(expected):
        assert_same_item(training_set.item(index), item)


@pytest.mark.parametrize("discrete", [False, True])
def test_a_batch_is_its_items_collated(video_dataset, discrete):
    preprocessor = make_preprocessor(video_dataset, variant="pi05", discrete_state_input=discrete)
    training_set = TrainingSet([LeRobotData(video_dataset)], preprocessor)
    indices = np.array([3, 53, 11, 12, 11, 0])
    observation, actions = training_set.batch(indices)
    expected, expected_actions = collate([training_set.item(i) for i in indices])
    for slot in expected.images:
        np.testing.assert_array_equal(observation.images[slot], expected.images[slot])
        np.testing.assert_array_equal(observation.image_masks[slot], expected.image_masks[slot])
    for field in ("state", "tokens", "token_mask"):
        np.testing.assert_array_equal(getattr(observation, field), getattr(expected, field))
    np.testing.assert_array_equal(actions, expected_actions)


def test_the_last_action_repeats_past_the_end_of_its_episode(video_dataset):
    training_set = TrainingSet([LeRobotData(video_dataset)], make_preprocessor(video_dataset, delta_mask=[]))
    actions = training_set.batch(np.array([10]))[1][0]  # the first episode has 12 frames
    np.testing.assert_array_equal(actions[1:], np.broadcast_to(actions[1], (4, actions.shape[1])))
    assert (actions[0] != actions[1]).any()


def test_several_datasets_lie_end_to_end(tmp_path, video_dataset):
    other = LeRobotData(make_lerobot_dataset(tmp_path / "other", episodes=(6, 8), video=False, seed=1))
    data, preprocessor = LeRobotData(video_dataset), make_preprocessor(video_dataset)
    both = TrainingSet([data, other], preprocessor, [[0, 2], [1]])
    assert both.sizes == [25, 8]
    assert_same_item(both.item(25), TrainingSet([other], preprocessor, [[1]]).item(0))
    assert_same_item(both.item(12), TrainingSet([data], preprocessor).item(22))
