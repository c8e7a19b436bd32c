"""An adapter that we save is PEFT's: `PeftModel` puts it on lerobot's model, which then acts as ours does."""

import pytest
import tiny_lerobot
import torch
from peft import PeftModel
from pisft.config.finetune import Lora
from pisft.model import Observation, Pi0, load_weights, lora
from pisft.train.distribution.parallel import whole
from safetensors.torch import load_file, save_file

B, H, A, L = 2, 6, 32, 9


def inputs():
    g = torch.Generator().manual_seed(3)
    image = torch.rand(B, 3, 56, 56, generator=g) * 2 - 1
    actions, noise = torch.randn(2, B, H, A, generator=g)
    tokens = torch.randint(0, 1000, (B, L), generator=g)
    state, time = torch.randn(B, A, generator=g), torch.rand(B, generator=g)
    return image, tokens, state, actions, noise, time


def ours_loss(model, image, tokens, state, *flow):
    mask = torch.ones(B, dtype=torch.bool)
    observation = Observation({"base_0_rgb": image}, {"base_0_rgb": mask}, state, tokens, tokens >= 0)
    return model.flow_loss(observation, *flow)


def theirs_loss(model, image, tokens, state, *flow):
    return model.forward([image], [torch.ones(B, dtype=torch.bool)], tokens, tokens >= 0, state, *flow)


@pytest.mark.parametrize("targets", ["openpi", "rlinf", "lerobot"])
def test_peft_puts_our_adapter_on_lerobots_model(tmp_path, targets):
    theirs = tiny_lerobot.build(tiny_lerobot.config("pi0")).model
    weights = {name: p.contiguous().clone() for name, p in theirs.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    ours = Pi0(tiny_lerobot.config("pi0"))
    config = Lora(method="lora", targets=targets, rank=4)
    lora.wrap(ours, config)
    load_weights(ours, tmp_path)
    lora.initialise(ours, config, seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in ours.parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.02)
    lora.save_adapter(ours, tmp_path, whole)

    x = inputs()
    base = theirs_loss(theirs, *x)
    expected = ours_loss(ours, *x)
    if (tmp_path / "trained.safetensors").exists():
        theirs.load_state_dict(load_file(tmp_path / "trained.safetensors"), strict=False)
    wrapped = PeftModel.from_pretrained(theirs, tmp_path / "adapter")
    found = {name for name, _ in wrapped.named_parameters() if ".lora_" in name}
    stored = load_file(tmp_path / "adapter/adapter_model.safetensors")
    assert {name.replace(".default.", ".") for name in found} == stored.keys()
    torch.testing.assert_close(theirs_loss(wrapped.base_model.model, *x), expected, atol=2e-5, rtol=1e-5)
    merged = wrapped.merge_and_unload()
    torch.testing.assert_close(theirs_loss(merged, *x), expected, atol=2e-5, rtol=1e-5)
    assert not torch.allclose(base, expected, atol=1e-2)
