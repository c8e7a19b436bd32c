"""With the same weights, lerobot 0.6.1's π₀ and π₀.₅ give the same loss, samples and gradients, in fp32.

lerobot embeds the time in fp64, JAX and we in fp32; its angles of over 1,000 make that visible (1e-5 in a gradient), so
both sides get the fp32 embedding here.
"""

import importlib

import pytest
import tiny_lerobot
import torch
from full_size import full_size
from pisft.model import Observation, Pi0, load_weights
from pisft.model.pi0 import sincos
from pisft.model.weights import EMBED, EMBEDDING, IGNORED, file_name
from safetensors.torch import save_model

B, H, A, L = 3, 6, 32, 12


@pytest.fixture(scope="module", params=["pi0", "pi05"])
def pair(request, tmp_path_factory):
    """(lerobot's policy, our model with its weights)."""
    theirs = tiny_lerobot.build(tiny_lerobot.config(request.param))
    module = importlib.import_module(f"lerobot.policies.{request.param}.modeling_{request.param}")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(module, "create_sinusoidal_pos_embedding", lambda time, width, *_, **__: sincos(time, width))
    request.addfinalizer(monkeypatch.undo)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_model(theirs, str(path))
    ours = Pi0(tiny_lerobot.config(request.param)).eval()
    load_weights(ours, path)
    return theirs.model, ours


@pytest.fixture(scope="module")
def batch():
    g = torch.Generator().manual_seed(2)
    images = [torch.rand(B, 3, 56, 56, generator=g) * 2 - 1 for _ in range(3)]
    masks = [torch.ones(B, dtype=torch.bool), torch.tensor([True, False, True]), torch.zeros(B, dtype=torch.bool)]
    tokens = torch.randint(0, 1000, (B, L), generator=g)
    token_mask = torch.arange(L) < torch.tensor([[9], [4], [7]])
    state = torch.randn(B, A, generator=g)
    actions, noise = torch.randn(2, B, H, A, generator=g)
    time = torch.rand(B, generator=g) * 0.999 + 0.001
    return images, masks, tokens, token_mask, state, actions, noise, time


def observation(batch) -> Observation:
    """What is masked everywhere (the third camera, the last tokens) is left out."""
    images, masks, tokens, token_mask, state, *_ = batch
    slots = ("base_0_rgb", "left_wrist_0_rgb")
    return Observation(
        dict(zip(slots, images, strict=False)),
        dict(zip(slots, masks, strict=False)),
        state,
        tokens[:, :9],
        token_mask[:, :9],
    )


def lerobot_inputs(theirs, batch):
    images, masks, tokens, token_mask, state, *_ = batch
    inputs = [images, masks, tokens, token_mask]
    return [*inputs, state] if hasattr(theirs, "state_proj") else inputs


def test_loss_samples_and_gradients(pair, batch):
    theirs, ours = pair
    *_, actions, noise, time = batch
    inputs = lerobot_inputs(theirs, batch)

    expected = theirs.forward(*inputs, actions, noise, time)
    loss = ours.flow_loss(observation(batch), actions, noise, time)
    torch.testing.assert_close(loss, expected, atol=2e-5, rtol=0)

    with torch.no_grad():
        samples = ours.sample_actions(observation(batch), noise, num_steps=10)
        torch.testing.assert_close(samples, theirs.sample_actions(*inputs, noise, num_steps=10), atol=2e-5, rtol=0)

    expected.mean().backward()
    loss.mean().backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    compared = 0
    for name, parameter in ours.named_parameters():
        if not parameter.requires_grad:
            continue
        theirs_name = file_name(name)
        reference = gradients.get(theirs_name)
        if reference is None:
            # the tied embedding is held under either name
            reference = gradients[EMBEDDING]
        assert parameter.grad is not None, name
        if name.startswith("vision.") and name.endswith("k_proj.bias"):
            # softmax does not see a shift of all keys: the gradient is zero but for rounding
            assert max(parameter.grad.norm(), reference.norm()) < 1e-6
            continue
        error = (parameter.grad - reference).norm() / reference.norm()
        assert error <= 1e-5, f"{name}: {error:.1e}"
        compared += 1
    assert compared > 60


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_names_and_shapes_at_full_size(variant):
    name = {"pi0": "PI0", "pi05": "PI05"}[variant]
    module = importlib.import_module(f"lerobot.policies.{variant}.modeling_{variant}")
    with torch.device("meta"):
        ours = Pi0(full_size(variant))
        theirs = getattr(module, f"{name}Pytorch")(getattr(module, f"{name}Config")(dtype="float32", device="cpu"))

    found = [(file_name(name), p.shape) for name, p in ours.named_parameters()]
    expected = {name: p.shape for name, p in theirs.state_dict().items()}
    del expected[IGNORED]
    assert expected.pop(EMBEDDING) == expected[EMBED]
    assert sorted(found) == sorted(expected.items())
