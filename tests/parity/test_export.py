"""What we export, lerobot loads with its own loaders and acts on as we do; openpi and RLinf find what they look for."""

import importlib
import json

import numpy as np
import pytest
import tiny_lerobot
import torch
from full_size import full_size
from lerobot.policies.factory import make_pre_post_processors
from pisft.canonical import write_json
from pisft.config.format import FormatConfig
from pisft.data.format import Format
from pisft.data.norm_stats import NormStats, save
from pisft.data.normalise import Stats, normalise
from pisft.data.preprocess import Preprocessor
from pisft.evaluate.policy import Policy
from pisft.export import lerobot, openpi
from pisft.export.checkpoint import Checkpoint, ExportError
from pisft.model import Pi0, load_weights, save_weights
from pisft.model.weights import IGNORED, file_name
from safetensors import safe_open
from safetensors.torch import save_file

H, DIMS = 6, 7
FORMATS = {
    "pi0 z-score": ("pi0", {"normalisation": "zscore"}),
    "pi0 relative": ("pi0", {"normalisation": "quantile", "delta_mask": [6, -1]}),
    "pi05 with its state": ("pi05", {"normalisation": "quantile", "discrete_state_input": True}),
    "pi05 without": ("pi05", {"normalisation": "quantile"}),
    "two cameras": ("pi05", {"normalisation": "quantile", "cameras": {"base_0_rgb": "observation.images.top",
                             "right_wrist_0_rgb": "observation.images.a_wrist"}}),
}  # fmt: skip


def stats(rng):
    q01 = rng.normal(-1, 0.3, DIMS)
    # one dim is nearly constant: the epsilons are most of its range
    width = np.r_[rng.uniform(0.5, 2, DIMS - 1), 0.02]
    return Stats(mean=q01 + width / 2, std=width / 4, q01=q01, q99=q01 + width)


@pytest.fixture(params=FORMATS)
def checkpoint(request, tmp_path):
    variant, changes = FORMATS[request.param]
    content = {"cameras": {"base_0_rgb": "observation.image"}, "state": "observation.state", "actions": "action"}
    config = FormatConfig.model_validate(content | {"action_horizon": H} | changes)
    model_config = tiny_lerobot.config(variant).model_copy(update={"vocab_size": 258, "max_token_len": 90})
    torch.manual_seed(3)
    model = Pi0(model_config)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.05)
    rng = np.random.default_rng(0)
    folder = tmp_path / "checkpoint"
    save_weights(model, folder / "model.safetensors")
    write_json(folder / "model.json", model_config.model_dump(mode="json"))
    write_json(folder / "format.json", config.model_dump(mode="json"))
    save(NormStats(stats(rng), stats(rng)), folder / "norm_stats.json")
    return Checkpoint(folder)


def ours(checkpoint, observations, noise):
    model = Pi0(checkpoint.model)
    load_weights(model, checkpoint.folder)
    preprocessor = Preprocessor(checkpoint.model, Format(checkpoint.format.config), checkpoint.stats)
    return np.stack(Policy(model, preprocessor).infer(observations, noise))


def theirs(checkpoint, folder, observations, noise):
    policy_class = tiny_lerobot.policy_class(checkpoint.model.variant)
    with tiny_lerobot.dimensions(checkpoint.model):
        policy = policy_class.from_pretrained(folder)
    embedded = dict(policy.state_dict())
    with safe_open(checkpoint.weights, "pt") as stored:
        # their loader prints a warning and goes on with random weights
        for name in stored.keys():  # noqa: SIM118 (not a dict)
            assert torch.equal(embedded[f"model.{name}"], stored.get_tensor(name)), name
    overrides = {"tokenizer_processor": {"tokenizer_name": str(folder / "tokenizer")}}
    before, after = make_pre_post_processors(
        policy.config, pretrained_path=str(folder), preprocessor_overrides=overrides
    )
    batch = {
        key: torch.from_numpy(np.stack([o[key] for o in observations])) for key in observations[0] if key != "task"
    }
    for key in checkpoint.format.config.cameras.values():
        batch[key] = batch[key].permute(0, 3, 1, 2).float() / 255
    batch["task"] = [o["task"] for o in observations]
    prepared = before(batch)
    chunk = policy.predict_action_chunk(prepared, noise=torch.from_numpy(noise))
    return after(chunk).numpy(), prepared["observation.state"].numpy()


def test_lerobot_acts_as_we_do(checkpoint, tmp_path):
    lerobot.export(checkpoint, tmp_path / "export")
    rng = np.random.default_rng(1)
    observations = [
        {key: rng.integers(0, 256, (56, 56, 3), np.uint8) for key in checkpoint.format.config.cameras.values()}
        | {
            "observation.state": (checkpoint.stats.state.mean + rng.normal(0, 0.2, DIMS)).astype(np.float32),
            "task": task,
        }
        for task in ("press the button", "close it")
    ]
    for observation in observations:
        observation["observation.state"][-1] = checkpoint.stats.state.mean[-1] + 3e-3
    noise = rng.normal(size=(2, H, 32)).astype(np.float32)
    expected = ours(checkpoint, observations, noise)
    found, state = theirs(checkpoint, tmp_path / "export", observations, noise)
    states = np.stack([observation["observation.state"] for observation in observations])
    mode = checkpoint.format.config.normalisation
    # without our epsilon the last dim would be off by more
    np.testing.assert_allclose(state, normalise(states, checkpoint.stats.state, mode), atol=2e-5)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(expected[0] - expected[1]).max() > 1e-2


def test_what_lerobot_cannot_do_is_said(checkpoint, tmp_path):
    notes = lerobot.export(checkpoint, tmp_path / "export")
    text = (tmp_path / "export/README.md").read_text()
    assert all(note in text for note in notes)
    assert any("lerobot builds no others" in note for note in notes)
    assert any("tokenizer_name" in note for note in notes)


def test_features_of_other_names_are_renamed_or_told(tmp_path, checkpoint):
    config = checkpoint.format.config
    changed = config.model_copy(update={"cameras": {"base_0_rgb": "image"}})
    checkpoint.format = Format(changed)
    assert any("feed image as observation.images.base_0_rgb" in note for note in lerobot.limits(checkpoint))


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_exported_names_are_lerobots_at_full_size(variant, tmp_path):
    with torch.device("meta"):
        module = importlib.import_module(f"lerobot.policies.{variant}.modeling_{variant}")
        name = {"pi0": "PI0", "pi05": "PI05"}[variant]
        expected = getattr(module, f"{name}Pytorch")(getattr(module, f"{name}Config")(dtype="float32", device="cpu"))
        model = Pi0(full_size(variant))
    names = [file_name(n) for n, _ in model.named_parameters()] + [IGNORED]
    save_file({n: torch.zeros(1) for n in names}, tmp_path / "small.safetensors")
    lerobot._write_weights(tmp_path / "small.safetensors", tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as stored:
        assert set(stored.keys()) == {f"model.{name}" for name in expected.state_dict()}


def test_openpi_and_rlinf_find_the_statistics(checkpoint, tmp_path):
    folder = tmp_path / "export"
    openpi.export(checkpoint, folder, "physical-intelligence/libero")
    assert (folder / "model.safetensors").read_bytes() == checkpoint.weights.read_bytes()
    for place in ("physical-intelligence/libero", "assets/physical-intelligence/libero"):
        assert json.loads((folder / place / "norm_stats.json").read_text())["norm_stats"].keys() == {"state", "actions"}


def test_a_failed_export_leaves_the_one_before(checkpoint, tmp_path, monkeypatch):
    folder = tmp_path / "export"
    lerobot.export(checkpoint, folder)
    before = sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    monkeypatch.setattr(lerobot, "processors", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lerobot.export(checkpoint, folder)
    assert before == sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "export"}


def test_a_missing_checkpoint_says_how_to_make_it(tmp_path):
    with pytest.raises(ExportError, match="run: snakemake"):
        Checkpoint(tmp_path / "checkpoint")
