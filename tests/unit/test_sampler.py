"""How a trained model samples: as in training, with weights that take half the memory where it computes in bf16."""

import copy

import pytest
import torch
from pisft.model import sampling
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


def test_a_graph_that_cannot_be_captured_is_said_and_sampled_op_by_op(monkeypatch, capsys):
    def refuse(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    model = tiny("pi05")
    obs, _, noise, _ = draw(0)
    sampler = Sampler(model)
    expected = sampler(obs, noise[:, 0])
    sampler.captures = True
    monkeypatch.setattr(sampling, "_Graph", refuse)
    for _ in range(2):
        assert torch.equal(sampler(obs, noise[:, 0]), expected)
    assert capsys.readouterr().err.count("not permitted when stream is capturing") == 1
    assert sampler.how == "op by op, since no CUDA graph could be captured"


def test_each_shape_is_captured_once_and_the_oldest_makes_room(monkeypatch):
    captured = []

    class Recorded:
        def __init__(self, function, *_):
            captured.append(self)
            self.function = function

        def __call__(self, obs, noise):
            return self.function(obs, noise)

    sampler = Sampler(tiny("pi05"))
    sampler.captures = True
    monkeypatch.setattr(sampling, "_Graph", Recorded)
    monkeypatch.setattr(sampling, "GRAPHS", 2)
    obs, _, noise, _ = draw(0)
    for steps in (1, 2, 1, 3, 2, 1):  # 3 takes the place of 1
        sampler(obs, noise[:, 0], steps)
    assert len(captured) == 4 and len(sampler._graphs) == 2
