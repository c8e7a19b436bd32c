"""What `export/lerobot` holds, lerobot 0.6.1's own loaders take, and its own policy then acts as ours does.

lerobot's dimensions are hard-coded, so it and the size that it is exported for are patched to be tiny.
"""

import importlib
import itertools
import re

import numpy as np
import pytest
import tiny_lerobot
import torch
from pisft.data.loading.preprocess import Preprocessor
from pisft.data.transforms.format import Format
from pisft.evaluate.policy import Policy
from pisft.export import checkpoint as checkpoints
from pisft.export.checkpoint import PUBLISHED, read_checkpoint
from pisft.export.lerobot import export
from pisft.export.weights import lerobot_header
from pisft.model import ModelConfig, Pi0, load_weights
from pisft.model.weights import EMBED, IGNORED, file_name
from tiny_checkpoint import make_checkpoint

FORMATS = {
    "pi0-zscore": ("pi0", {"normalisation": "zscore"}),
    "pi0-quantile-relative": ("pi0", {"normalisation": "quantile", "delta_mask": [2, -1]}),
    "pi05-state-in-prompt": ("pi05", {"normalisation": "quantile", "discrete_state_input": True}),
    "pi05-no-state": ("pi05", {"normalisation": "quantile"}),
    "pi05-relative-state-in-prompt": ("pi05", {"delta_mask": [-1, 2, -1], "discrete_state_input": True}),
}
# In robot units, for actions of order one. The largest measured is 4e-5: two ways to add up in fp32, ten steps long.
TOLERANCE = 1e-4
TASKS = ["press the button", "  close_the\ndrawer é"]


@pytest.fixture(scope="module", params=FORMATS)
def exported(request, tmp_path_factory):
    """(run_dir, variant) of an export that lerobot can build."""
    variant, fmt = FORMATS[request.param]
    model = tiny_lerobot.config(variant).model_copy(update={"max_token_len": 120})
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(checkpoints, "PUBLISHED", model.model_dump(include=set(PUBLISHED)))
    root = tmp_path_factory.mktemp("project")
    monkeypatch.chdir(root)
    request.addfinalizer(monkeypatch.undo)
    run_dir = make_checkpoint(root, model, **fmt)
    export(run_dir, replan_steps=3)
    return run_dir, variant


@pytest.fixture(scope="module")
def loaded(exported):
    """lerobot's policy, its preprocessor and `act`, made by the lines that README.md shows."""
    run_dir, variant = exported
    (lines,) = re.findall(r"```python\n(.*?)```", (run_dir / "export/lerobot/README.md").read_text(), re.DOTALL)
    names = {}
    with tiny_lerobot.dimensions(tiny_lerobot.config(variant)):
        exec(lines, names)
    return names["policy"], names["preprocess"], names["act"]


def ours(run_dir) -> Policy:
    checkpoint = read_checkpoint(run_dir)
    model = Pi0(checkpoint.model)
    load_weights(model, checkpoint.folder)
    return Policy(model, Preprocessor(checkpoint.model, Format(checkpoint.format), checkpoint.stats))


def observations(policy: Policy) -> list[dict]:
    rng = np.random.default_rng(5)
    size, stats = policy.preprocessor.model.image_size, policy.preprocessor.stats.state
    observations = []
    for task in TASKS:
        state = stats.mean + stats.std * rng.normal(0, 1.2, len(stats.mean))
        if policy.preprocessor.format.config.normalisation == "zscore":
            state[-1] += 1e-6  # one epsilon from a constant's mean is one standard deviation
        state = state.astype(np.float32)
        images = {
            key: rng.integers(0, 256, (size, size, 3), np.uint8)
            for key in policy.preprocessor.format.config.cameras.values()
        }
        observations.append({**images, "observation.state": state, "task": task})
    return observations


def as_lerobot_has_it(observation: dict) -> dict:
    return {
        key: torch.from_numpy(value).permute(2, 0, 1) / 255 if getattr(value, "ndim", 0) == 3 else value
        for key, value in observation.items()
    } | {"observation.state": torch.from_numpy(observation["observation.state"])}


def test_robot_actions_are_ours(exported, loaded):
    policy, (*_, act) = ours(exported[0]), loaded
    noise = np.random.default_rng(6).standard_normal((len(TASKS), *policy.noise_shape), dtype=np.float32)
    for place, observation in enumerate(observations(policy)):
        (expected,) = policy.infer([observation], noise[place : place + 1])
        found = act(as_lerobot_has_it(observation), noise=torch.from_numpy(noise[place : place + 1]))[0].numpy()
        assert found.shape == expected.shape and np.abs(expected).max() > 0.5
        print(f"largest difference {np.abs(found - expected).max():.1e}")
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


def test_model_inputs_are_ours(exported, loaded):
    policy, (_, preprocess, _) = ours(exported[0]), loaded
    for observation in observations(policy):
        item = policy.preprocessor.item(observation)
        found = preprocess(as_lerobot_has_it(observation))
        mask = found["observation.language.attention_mask"][0]
        assert found["observation.language.tokens"][0][mask].tolist() == item.tokens
        assert mask[: len(item.tokens)].all()
        state = found["observation.state"][0].numpy()
        np.testing.assert_allclose(state, item.state[: len(state)], atol=1e-6)


def test_every_weight_arrives(exported, loaded):
    """Where they do not, lerobot prints a warning and continues with random ones."""
    model, (theirs, *_) = Pi0(read_checkpoint(exported[0]).model), loaded
    load_weights(model, exported[0] / "checkpoint")
    found = dict(theirs.model.state_dict())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[file_name(name)], parameter.detach(), rtol=0, atol=0)
    # and our own loader reads it back
    again = Pi0(model.config)
    load_weights(again, exported[0] / "export/lerobot")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_the_policy_is_set_up_as_the_experiment_was(exported, loaded):
    config, run_dir = loaded[0].config, exported[0]
    relative = bool(read_checkpoint(run_dir).format.delta_mask)
    assert (config.chunk_size, config.n_action_steps) == (6, 1 if relative else 3)
    assert list(config.image_features) == ["observation.images.zed", "observation.images.arm"]
    assert config.image_resolution == (56, 56) and config.tokenizer_max_length == 120


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_names_and_shapes_at_full_size(variant):
    name = {"pi0": "PI0", "pi05": "PI05"}[variant]
    module = importlib.import_module(f"lerobot.policies.{variant}.modeling_{variant}")
    model = ModelConfig(variant=variant, tokenizer={"kind": "paligemma"}, **PUBLISHED)
    with torch.device("meta"):
        ours = Pi0(model)
        theirs = getattr(module, f"{name}Pytorch")(getattr(module, f"{name}Config")(dtype="float32", device="cpu"))

    shapes = {file_name(name): list(p.shape) for name, p in ours.named_parameters()}
    shapes[IGNORED] = [model.vocab_size, model.expert.width]
    header, end = {}, 0
    for key in sorted(shapes):
        size = 4 * int(np.prod(shapes[key]))
        header[key] = {"dtype": "F32", "shape": shapes[key], "data_offsets": [end, end := end + size]}
    found = lerobot_header(header)
    assert {key: entry["shape"] for key, entry in found.items()} == {
        f"model.{key}": list(tensor.shape) for key, tensor in theirs.state_dict().items()
    }
    places = sorted(entry["data_offsets"] for entry in found.values())
    assert places[0][0] == 0 and all(a[1] == b[0] for a, b in itertools.pairwise(places))
    assert places[-1][1] == end + 4 * int(np.prod(shapes[EMBED]))


def test_a_size_that_lerobot_cannot_build_is_refused_and_not_run_on_random_weights(tmp_path):
    from lerobot.configs import PreTrainedConfig

    run_dir = make_checkpoint(tmp_path, tiny_lerobot.config("pi0").model_copy(update={"vocab_size": 258}))
    notes = export(run_dir)
    assert notes[0].startswith("Size: ")
    with pytest.raises(Exception) as error:
        PreTrainedConfig.from_pretrained(run_dir / "export/lerobot")
    assert "Invalid paligemma_variant: none of lerobot's, see README.md" in str(error.value.__cause__)
