"""How a trained model samples: as in training, with weights that take half the memory where it computes in bf16."""

import copy

import pytest
import torch
from pisft.model.sampling import Sampler
from tiny_pi0 import draw, tiny


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_on_a_cpu_it_is_the_models_own_sampling(variant):
    model = tiny(variant)
    obs, actions, noise, time = draw(0)
    with torch.inference_mode():
        expected = model.sample_actions(obs, noise[:, 0]), model.flow_loss(obs, actions, noise, time)
    sampler = Sampler(model)
    assert torch.equal(sampler(obs, noise[:, 0]), expected[0])
    assert torch.equal(sampler.flow_loss(obs, actions, noise, time), expected[1])
    assert sampler.how == "op by op"


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
def test_weights_held_in_bf16_change_no_bit_of_what_autocast_computes(variant):
    model = tiny(variant)
    sampler = Sampler(copy.deepcopy(model), "bf16")
    obs, actions, noise, time = draw(0)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = model.sample_actions(obs, noise[:, 0]), model.flow_loss(obs, actions, noise, time)
    assert torch.equal(sampler(obs, noise[:, 0]), expected[0])
    assert torch.equal(sampler.flow_loss(obs, actions, noise, time), expected[1])
    held = {p.dtype for name, p in sampler.model.named_parameters() if "proj.weight" in name}
    assert held == {torch.bfloat16}
