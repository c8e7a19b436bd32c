"""Samples become model inputs in openpi's order, and model outputs become robot actions again."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pisft.config import ConfigError, ModelConfig
from pisft.config.format import FormatConfig
from pisft.data import DataError, Format
from pisft.data.loading.preprocess import Preprocessor, collate
from pisft.data.statistics.norm_stats import NormStats
from pisft.data.statistics.normalise import Stats, normalise
from pisft.data.transforms.images import resize_with_pad
from tiny_model import model_config

HORIZON, WIDTH, SIZE = 5, 8, 32


def make_model(**changes) -> ModelConfig:
    content = {"image_size": SIZE, "action_dim": WIDTH, "action_horizon": HORIZON, "max_token_len": 100}
    return model_config(**content | changes)


def make_format(**changes) -> Format:
    content = {
        "cameras": {"base_0_rgb": "front", "left_wrist_0_rgb": "wrist"},
        "state": "state",
        "actions": "actions",
        "normalisation": "quantile",
        "action_horizon": HORIZON,
    }
    return Format(FormatConfig.model_validate(content | changes))


def make_stats(dims=4, seed=0) -> NormStats:
    rng = np.random.default_rng(seed)

    def field():
        mean, std = rng.normal(size=dims), rng.uniform(0.1, 2, dims)
        return Stats(mean, std, mean - 2 * std, mean + 2 * std)

    return NormStats(field(), field())


def make_sample(seed=0, task="pick_it", size=(48, 40)):
    rng = np.random.default_rng(seed)
    return {
        "front": rng.integers(0, 256, (*size, 3), np.uint8),
        "wrist": rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8),
        "state": rng.normal(size=4).astype(np.float32),
        "actions": rng.normal(size=(HORIZON, 4)).astype(np.float32),
        "task": task,
    }


@settings(max_examples=60, deadline=None)
@given(
    actions=hnp.arrays(np.float32, (HORIZON, 4), elements=st.floats(-50, 50, width=32)),
    mask=st.sampled_from([[], [3, -1], [4]]),
    method=st.sampled_from(["zscore", "quantile"]),
)
def test_actions_that_went_in_come_out(actions, mask, method):
    preprocessor = Preprocessor(make_model(), make_format(delta_mask=mask, normalisation=method), make_stats())
    item = preprocessor.item(make_sample() | {"actions": actions})
    assert item.actions.shape == (HORIZON, WIDTH)
    np.testing.assert_allclose(preprocessor.actions(item.actions, item.encoded_state), actions, atol=1e-4)


@pytest.mark.parametrize("method", ["zscore", "quantile"])
def test_state_and_actions_are_normalised_and_then_padded_with_zeros(method):
    stats, sample = make_stats(), make_sample()
    preprocessor = Preprocessor(make_model(), make_format(normalisation=method, delta_mask=[2, -2]), stats)
    item = preprocessor.item(sample)
    relative = sample["actions"] - np.array([1, 1, 0, 0], np.float32) * sample["state"]
    np.testing.assert_array_equal(item.state[:4], normalise(sample["state"], stats.state, method))
    np.testing.assert_allclose(item.actions[:, :4], normalise(relative, stats.actions, method), rtol=1e-6)
    assert not item.state[4:].any()
    assert not item.actions[:, 4:].any()
    np.testing.assert_array_equal(item.encoded_state, sample["state"])
    assert preprocessor.action_dims == 4


def test_the_discrete_state_is_the_normalised_one_before_padding():
    fmt = make_format(discrete_state_input=True)
    item = Preprocessor(make_model(variant="pi05"), fmt, make_stats()).item(make_sample())
    text = bytes(i - 2 for i in item.tokens[1:]).decode()
    bins = np.digitize(item.state[:4], np.linspace(-1, 1, 257)[:-1]) - 1
    assert text == f"Task: pick it, State: {' '.join(map(str, bins))};\nAction: "


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_without_discrete_state_the_prompt_is_the_text_alone(variant):
    item = Preprocessor(make_model(variant=variant), make_format(), make_stats()).item(make_sample())
    assert bytes(i - 2 for i in item.tokens[1:]).decode() == "pick it\n"


def test_a_batch_holds_only_the_cameras_of_the_format_in_the_range_of_the_model():
    preprocessor = Preprocessor(make_model(), make_format(cameras={"left_wrist_0_rgb": "wrist"}), make_stats())
    samples = [make_sample(seed) for seed in range(3)]
    observation, actions = collate([preprocessor.item(sample) for sample in samples])
    assert observation.images["left_wrist_0_rgb"].dtype == torch.uint8
    observation = observation.to("cpu")
    assert list(observation.images) == list(observation.image_masks) == ["left_wrist_0_rgb"]
    images = observation.images["left_wrist_0_rgb"]
    assert (images.shape, images.dtype) == ((3, 3, SIZE, SIZE), torch.float32)
    expected = np.stack([sample["wrist"] for sample in samples]).transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-6)
    assert observation.image_masks["left_wrist_0_rgb"].all()
    assert (observation.state.shape, actions.shape) == ((3, WIDTH), (3, HORIZON, WIDTH))


def test_prompts_are_padded_on_the_right_to_a_multiple_of_eight():
    preprocessor = Preprocessor(make_model(), make_format(), make_stats())
    items = [preprocessor.item(make_sample(task=task)) for task in ("a", "123456", "1234567")]
    short, _ = collate(items[:2])
    long, _ = collate(items)
    assert (short.tokens.shape, long.tokens.shape) == ((2, 8), (3, 16))
    assert short.tokens.dtype == torch.int64
    np.testing.assert_array_equal(long.token_mask.sum(1), [3, 8, 9])
    assert not long.tokens[~long.token_mask].any()
    assert long.tokens[0, :3].tolist() == items[0].tokens


def test_a_sample_without_actions_gives_an_observation_alone():
    sample = make_sample()
    del sample["actions"]
    observation, actions = collate([Preprocessor(make_model(), make_format(), make_stats()).item(sample)])
    assert actions is None
    assert observation.state.shape == (1, WIDTH)


def test_an_image_of_the_right_size_is_not_touched():
    image = make_sample()["wrist"]
    assert resize_with_pad(image, SIZE) is image


@pytest.mark.parametrize(("shape", "inner"), [((60, 90), (21, 32)), ((90, 60), (32, 21)), ((16, 16), (32, 32))])
def test_aspect_is_kept_and_the_rest_is_black(shape, inner):
    padded = resize_with_pad(np.full((*shape, 3), 200, np.uint8), SIZE)
    rows, columns = np.nonzero(padded[..., 0])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == inner
    assert (padded[rows, columns] == 200).all()
    assert rows.min() == (SIZE - inner[0]) // 2
    assert columns.min() == (SIZE - inner[1]) // 2


def test_shrinking_is_antialiased_as_torch_does_it():
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)).resize((97, 97))
    image = np.array(smooth)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(tensor, (SIZE, SIZE), mode="bilinear", antialias=True)[0]
    found = resize_with_pad(image, SIZE).astype(float)
    assert np.abs(found - expected.permute(1, 2, 0).numpy()).max() <= 1.01


@pytest.mark.parametrize("dims", [9, 32])
def test_statistics_wider_than_the_model_are_a_config_error(dims):
    with pytest.raises(ConfigError, match=f"state: has {dims} dims; the model's action_dim is 8"):
        Preprocessor(make_model(), make_format(), make_stats(dims))


def test_a_state_wider_than_the_model_is_an_error():
    preprocessor = Preprocessor(make_model(), make_format(), make_stats())
    with pytest.raises(DataError, match="state: has 9 dims; the model's action_dim is 8"):
        preprocessor.item(make_sample() | {"state": np.zeros(9, np.float32)})


def test_discrete_state_with_pi0_is_a_config_error():
    with pytest.raises(ConfigError, match=r"discrete_state_input is π₀\.₅.s"):
        Preprocessor(make_model(), make_format(discrete_state_input=True), make_stats())


def test_another_horizon_than_the_models_is_a_config_error():
    with pytest.raises(ConfigError, match="action_horizon is 4, the model's is 5"):
        Preprocessor(make_model(), make_format(action_horizon=4), make_stats())


@pytest.mark.parametrize("image", [np.zeros((8, 8, 3)), np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8), np.uint8)])
def test_an_image_of_another_kind_is_an_error(image):
    preprocessor = Preprocessor(make_model(), make_format(), make_stats())
    with pytest.raises(DataError, match="expected uint8"):
        preprocessor.item(make_sample() | {"front": image})
