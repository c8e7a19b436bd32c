"""What the model promises beside parity: nothing that is masked matters, draws are independent, files are strict."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pisft.model import Observation, Pi0, WeightsError, load_weights, save_weights
from pisft.model.pi0 import gelu
from safetensors.torch import load_file, save_file
from tiny_pi0 import A, B, H, K, draw, tiny

ROOT = Path(__file__).parents[2]


def without_what_is_masked(obs: Observation) -> Observation:
    return replace(
        obs,
        images={"base_0_rgb": obs.images["base_0_rgb"]},
        image_masks={"base_0_rgb": obs.image_masks["base_0_rgb"]},
        tokens=obs.tokens[:, :7],
        token_mask=obs.token_mask[:, :7],
    )


def gradients(model: Pi0, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
@pytest.mark.parametrize("seed", range(3))
def test_leaving_out_masked_cameras_and_padding_changes_neither_loss_nor_gradients(variant, seed):
    model = tiny(variant)
    obs, actions, noise, time = draw(seed)
    full = model.flow_loss(obs, actions, noise, time)
    lean = model.flow_loss(without_what_is_masked(obs), actions, noise, time)
    torch.testing.assert_close(lean, full, atol=1e-5, rtol=1e-5)
    expected = gradients(model, full)
    found = gradients(model, model.flow_loss(without_what_is_masked(obs), actions, noise, time))
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert (gradient - expected[name]).norm() <= 1e-4 * expected[name].norm() + 1e-6, name


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
@torch.no_grad()
def test_draws_that_share_a_prefix_are_those_computed_alone(variant):
    model = tiny(variant)
    obs, actions, noise, time = draw(0)
    together = model.flow_loss(obs, actions, noise, time)
    assert together.shape == (B, K, H, A)
    for k in range(K):
        alone = model.flow_loss(obs, actions, noise[:, k], time[:, k])
        torch.testing.assert_close(together[:, k], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
@torch.no_grad()
def test_sampling_with_the_cached_prefix_is_integrating_the_velocity(variant):
    model = tiny(variant)
    obs, _, noise, _ = draw(0)
    x_t = noise[:, 0]
    for step in range(5):
        time = torch.full((B, 1), 1 - step / 5)
        x_t = x_t - model.velocity(obs, x_t[:, None], time)[:, 0] / 5
    torch.testing.assert_close(model.sample_actions(obs, noise[:, 0], num_steps=5), x_t, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_blind_policy_needs_no_image():
    model = tiny("pi0")
    obs, actions, noise, time = draw(0)
    masked = replace(obs, image_masks={slot: torch.zeros_like(m) for slot, m in obs.image_masks.items()})
    expected = model.flow_loss(masked, actions, noise, time)
    found = model.flow_loss(replace(obs, images={}, image_masks={}), actions, noise, time)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_every_trainable_parameter_gets_a_gradient_and_no_other(variant):
    model = tiny(variant)
    model.flow_loss(*draw(0)).mean().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all(name.startswith(("layers.2.vlm.", "vlm_norm.")) for name in frozen)
    assert not any(".k_proj" in name or ".v_proj" in name for name in frozen)


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
@torch.no_grad()
def test_what_nothing_reads_is_not_computed(variant):
    model = tiny(variant)
    called = set()
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: called.add(module))
    obs, actions, noise, time = draw(0)
    model.flow_loss(obs, actions, noise, time)
    model.sample_actions(obs, noise[:, 0])
    idle = {name for name, module in model.named_modules() if module not in called and not list(module.children())}
    unused = {model.vlm_norm, *model.layers[-1].unused()}
    assert idle - {"vision.position_embedding"} == {name for name, module in model.named_modules() if module in unused}


def test_the_gelu_that_is_compiled_is_the_same_function():
    x = torch.linspace(-12, 12, 1001, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(gelu(x).sum(), x)
    compiled = torch.compile(gelu, backend="eager")
    torch.testing.assert_close(compiled(x), torch.nn.functional.gelu(x, approximate="tanh"), rtol=1e-9, atol=1e-12)
    (gradient,) = torch.autograd.grad(compiled(x).sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_image_tokens_lie_in_rows():
    model = tiny("pi0")
    seen = []
    for layer in model.vision.layers:
        layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].is_contiguous()))
    model.embed_prefix(draw(0)[0])
    assert seen == [True, True]


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_a_step_never_waits_for_the_device(variant):
    # on the meta device there are no values: whatever would read one raises
    model = tiny(variant).to("meta")
    obs, actions, noise, time = draw(0)
    obs, actions, noise, time = obs.to("meta"), actions.to("meta"), noise.to("meta"), time.to("meta")
    model.flow_loss(obs, actions, noise, time).mean().backward()
    assert model.sample_actions(obs, noise[:, 0]).shape == (B, H, A)


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_weights_survive_the_file_bit_for_bit(variant, tmp_path):
    model, other = tiny(variant), tiny(variant)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    save_weights(model, tmp_path / "a/model.safetensors")
    load_weights(other, tmp_path / "a")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name
    save_weights(other, tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a/model.safetensors").read_bytes()


@pytest.fixture
def stored(tmp_path):
    """A model, its file, and the tensors in it to be tampered with."""
    model = tiny("pi05")
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    return model, path, load_file(path)


def refused(model: Pi0, path: Path, *expected: str) -> None:
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(WeightsError) as error:
        load_weights(model, path)
    for text in (str(path), *expected):
        assert text in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), "nothing was loaded"


def test_a_missing_weight_is_refused(stored):
    model, path, tensors = stored
    del tensors["time_mlp_in.bias"]
    save_file(tensors, path)
    refused(model, path, "missing time_mlp_in.bias")


def test_a_surplus_weight_is_refused(stored):
    model, path, tensors = stored
    tensors["base_model.model.x"] = torch.zeros(1)
    save_file(tensors, path)
    refused(model, path, "surplus base_model.model.x")


def test_a_weight_of_another_shape_is_refused(stored):
    model, path, tensors = stored
    tensors["action_in_proj.weight"] = torch.zeros(8, 7)
    save_file(tensors, path)
    refused(model, path, "action_in_proj.weight: found [8, 7], expected [8, 32]")


def test_the_other_variants_weights_are_refused(stored):
    _, path, _ = stored
    refused(tiny("pi0"), path, "missing state_proj.weight", "surplus time_mlp_in.weight")


def test_a_truncated_file_is_refused(stored):
    model, path, _ = stored
    path.write_bytes(path.read_bytes()[:1000])
    refused(model, path, "cannot be read as safetensors")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    refused(tiny("pi0"), tmp_path / "nothing.safetensors")


def test_lerobots_layout_is_read(stored, tmp_path):
    model, _, tensors = stored
    vlm = "paligemma_with_expert.paligemma"
    tensors[f"{vlm}.model.language_model.embed_tokens.weight"] = tensors[f"{vlm}.lm_head.weight"].clone()
    save_file({f"model.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "lerobot.safetensors")
    other = tiny("pi05")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    load_weights(other, tmp_path / "lerobot.safetensors")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name
