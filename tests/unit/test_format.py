"""A format maps samples to OpenPI's inputs and a policy's actions back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pisft.config.format import FormatConfig
from pisft.data import DataError, Format
from pisft.data.transforms.format import clean_prompt

finite = st.floats(-100, 100, width=32)


def make_format(**changes) -> Format:
    content = {
        "cameras": {"base_0_rgb": "image"},
        "state": ["state"],
        "actions": ["actions"],
        "normalisation": "quantile",
        "action_horizon": 3,
    }
    return Format(FormatConfig.model_validate(content | changes))


def make_sample(state, actions=None, task="do it"):
    sample = {"image": np.zeros((4, 4, 3), np.uint8), "state": np.asarray(state, np.float32), "task": task}
    return sample if actions is None else sample | {"actions": np.asarray(actions, np.float32)}


@settings(max_examples=60, deadline=None)
@given(
    state=hnp.arrays(np.float32, 4, elements=finite),
    actions=hnp.arrays(np.float32, (3, 4), elements=finite),
    mask=st.sampled_from([[], [3, -1], [-2, 2], [-1, 1, -1], [4]]),
)
def test_decode_is_the_inverse_of_encode_on_actions(state, actions, mask):
    fmt = make_format(delta_mask=mask)
    encoded = fmt.encode(make_sample(state, actions))
    np.testing.assert_allclose(fmt.decode(encoded["actions"], encoded["state"]), actions, rtol=0, atol=2e-5)


def test_a_whole_chunk_is_relative_to_its_first_state_where_the_mask_says_so():
    encoded = make_format(delta_mask=[2, -1]).encode(make_sample([1, 2, 3], [[1, 1, 1], [5, 5, 5], [9, 9, 9]]))
    np.testing.assert_array_equal(encoded["actions"], [[0, -1, 1], [4, 3, 5], [8, 7, 9]])


def test_encoding_leaves_the_sample_as_it_was():
    sample = make_sample([1, 2], [[3, 4]])
    make_format(delta_mask=[2]).encode(sample)
    np.testing.assert_array_equal(sample["actions"], [[3, 4]])


def test_a_batch_is_encoded_as_its_samples_are():
    fmt = make_format(delta_mask=[1, -1])
    rng = np.random.default_rng(0)
    state, actions = rng.normal(size=(5, 2)).astype("f"), rng.normal(size=(5, 3, 2)).astype("f")
    together = fmt.to_relative(actions, state)
    np.testing.assert_array_equal(together, [fmt.to_relative(a, s) for a, s in zip(actions, state, strict=True)])


def test_several_sources_are_concatenated_in_order_and_cut_to_their_dims():
    fmt = make_format(state=["state", {"key": "gripper", "dims": [1, 2]}])
    sample = make_sample([1, 2]) | {"gripper": np.array([7, 8, 9], np.float32)}
    np.testing.assert_array_equal(fmt.encode(sample)["state"], [1, 2, 8])
    features = {"state": {"shape": [2], "names": {"motors": ["x", "y"]}}, "gripper": {"shape": [3], "names": None}}
    assert fmt.state_names(features) == ["x", "y", "gripper[1]"]


def test_a_sample_without_actions_is_encoded_without():
    assert "actions" not in make_format().encode(make_sample([1]))


@pytest.mark.parametrize(
    ("raw", "clean"), [(" pick_up\nit ", "pick up it"), ("press", "press"), ("\n", ""), ("_a", " a")]
)
def test_prompts_are_cleaned_as_openpi_does(raw, clean):
    assert clean_prompt(raw) == clean


def test_the_default_prompt_stands_in_for_an_empty_task():
    fmt = make_format(prompt={"default": "go on"})
    assert fmt.prompt("") == fmt.prompt(None) == "go on"
    assert fmt.prompt("stop") == "stop"
    assert make_format(prompt={"from_task": False, "default": "go on"}).prompt("stop") == "go on"


def test_no_prompt_at_all_is_an_error():
    with pytest.raises(DataError, match="give one of them"):
        make_format().prompt(" ")


def test_a_missing_key_is_named_with_the_nearest_one():
    with pytest.raises(DataError, match=r"state: there is no key 'state'; did you mean 'states'\?"):
        make_format().encode({"image": np.zeros((4, 4, 3), np.uint8), "states": np.zeros(2), "task": "a"})


def test_a_mask_that_is_wider_than_the_vectors_is_an_error():
    with pytest.raises(DataError, match=r"delta_mask \[6, -1\] makes dim 5 relative"):
        make_format(delta_mask=[6, -1]).encode(make_sample(np.zeros(4), np.zeros((3, 7))))


def test_dims_beyond_a_source_are_an_error():
    with pytest.raises(DataError, match="'state', which has 4"):
        make_format(state=[{"key": "state", "dims": [2, 6]}]).encode(make_sample(np.zeros(4)))


def test_the_committed_formats_load():
    from pathlib import Path

    paths = list((Path(__file__).parents[2] / "config/formats").glob("*.yaml"))
    assert len(paths) > 10 and all(Format.from_yaml(path).action_horizon > 0 for path in paths)
