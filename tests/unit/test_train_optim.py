"""The optimiser does what openpi's does, and nothing where a step is not finite."""

import math

import pytest
import torch
from pisft.config.train import Train
from pisft.train.step.optim import Optimizer, learning_rate
from torch import nn


def make(**changes):
    train = Train(**{"steps": 10, "peak_lr": 0.1, "warmup_steps": 0, "decay_steps": 10, "ema": None} | changes)
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    return model, Optimizer(model, train), train


def gradients(model, scale=1.0):
    for i, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, scale * (i + 1))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 2.5e-5 / 1001),
        (500, 2.5e-5 / 1001 + (2.5e-5 - 2.5e-5 / 1001) / 2),
        (1000, 2.5e-5),
        (15500, 2.5e-6 + (2.5e-5 - 2.5e-6) / 2),
        (8250, 2.5e-6 + 2.25e-5 * 0.5 * (1 + math.sqrt(0.5))),
        (30000, 2.5e-6),
        (99999, 2.5e-6),
    ],
)
def test_the_schedule_is_openpis(step, expected):
    assert learning_rate(step, Train(steps=1)) == pytest.approx(expected, rel=1e-12)


def test_without_warmup_the_first_rate_is_the_peak():
    assert learning_rate(0, Train(steps=1, warmup_steps=0)) == 2.5e-5


def test_two_updates_are_adamw_by_hand():
    model, optimizer, train = make(weight_decay=0.01, clip_grad_norm=1e9)
    w = model.bias.detach().double().clone()
    m = v = torch.zeros(2, dtype=torch.float64)
    for step, g in enumerate((2.0, -1.0)):
        gradients(model, g)
        optimizer.update(step, torch.tensor(0.0))
        grad, lr = 2.0 * g, learning_rate(step, train)
        m, v = 0.9 * m + 0.1 * grad, 0.95 * v + 0.05 * grad**2
        step_size = (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.95 ** (step + 1))).sqrt() + 1e-8)
        w = w - lr * 0.01 * w - lr * step_size
    torch.testing.assert_close(model.bias.detach().double(), w, rtol=1e-6, atol=1e-7)


def test_gradients_are_clipped_by_their_global_norm_which_is_reported_unclipped():
    model, optimizer, _ = make(clip_grad_norm=0.5)
    gradients(model)
    norm = optimizer.update(0, torch.tensor(0.0))
    assert norm.item() == pytest.approx(math.sqrt(6 * 1 + 2 * 4))
    moments = torch.cat([optimizer.adamw.state[p]["exp_avg"].flatten() for p in model.parameters()])
    assert moments.norm().item() == pytest.approx(0.1 * 0.5, rel=1e-5)


@pytest.mark.parametrize(("loss", "scale"), [(float("nan"), 1.0), (0.0, float("inf")), (0.0, float("nan"))])
def test_an_update_that_is_not_finite_changes_nothing(loss, scale):
    model, optimizer, _ = make(ema=0.9)
    gradients(model)
    optimizer.update(0, torch.tensor(0.0))
    with optimizer.averaged():
        pass
    before = {name: tensor.clone() for name, tensor in optimizer.tensors().items() if not name.startswith("ema")}
    gradients(model, scale)
    optimizer.update(1, torch.tensor(loss))
    after = optimizer.tensors()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


def test_the_averaged_weights_follow_with_the_decay_of_the_config():
    model, optimizer, _ = make(ema=0.75)
    first = model.weight.detach().clone()
    expected = first.clone()
    for step in range(3):
        gradients(model)
        optimizer.update(step, torch.tensor(0.0))
        expected = 0.75 * expected + 0.25 * model.weight.detach()
    trained = model.weight.detach().clone()
    with optimizer.averaged():
        torch.testing.assert_close(model.weight.detach(), expected)
        assert not torch.equal(model.weight, trained)
    assert torch.equal(model.weight, trained)


def test_frozen_parameters_have_no_state_and_stay():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    optimizer = Optimizer(model, Train(steps=1))
    before = model.weight.clone()
    model.bias.grad = torch.ones(2)
    optimizer.update(0, torch.tensor(0.0))
    assert torch.equal(model.weight, before)
    assert not any("weight" in name for name in optimizer.tensors())
