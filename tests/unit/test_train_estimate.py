"""A run says what it will need before it loads anything, and one that cannot fit does not begin."""

import pytest
import torch
from pisft.config import resolve
from pisft.train import estimate
from pisft.train.distribution.world import World
from pisft.train.errors import TrainingError
from pisft.train.loop import Trainer
from pisft.train.step.objective import flow_losses
from tiny_training import KEY, make_experiment, run
from typed_project import ROOT


def trainer(folder, dataset, **options):
    config = make_experiment(folder, dataset, **options)
    return Trainer(config, folder / "results/tiny", folder / "data", KEY, World())


def size(tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


def test_what_follows_from_shapes_is_exact(tmp_path, image_dataset):
    t = trainer(tmp_path, image_dataset)
    found = estimate.estimate(t.config, 1)
    assert found.parameters == sum(p.numel() for p in t.model.parameters())
    assert found.trainable == sum(p.numel() for p in t.optimizer.params.values())
    assert found.weights == size(t.model.parameters())
    state = t.optimizer.tensors()
    assert found.average == size(v for name, v in state.items() if name.startswith("ema."))
    assert found.optimiser == size(v for name, v in state.items() if name.startswith("adamw.exp_avg"))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_guess_at_activations_is_within_a_factor_of_two(tmp_path, image_dataset, checkpointing):
    model = {"depth": 4, "vlm": {"width": 64, "mlp": 256}, "expert": {"width": 64, "mlp": 256}, "heads": 4}
    model |= {"vision": {"width": 64, "depth": 4, "mlp": 256, "heads": 4, "patch": 8}, "head_dim": 16}
    cluster = {"activation_checkpointing": checkpointing}
    t = trainer(tmp_path, image_dataset, model=model, cluster=cluster, global_batch_size=8)
    parameters = {p.data_ptr() for p in t.model.parameters()}
    held = {}

    def pack(x):
        if x.untyped_storage().data_ptr() not in parameters:
            held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    (batch,) = t.batches.make(0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss, _ = flow_losses(t.model, batch, 4, "fp32")
    found = estimate.estimate(t.config, 1).activations
    measured = sum(held.values())
    if checkpointing:
        # what one block computes again comes on top of what is held
        assert 0.5 * measured < found < 6 * measured
    else:
        assert 0.5 * measured < found < 2 * measured
    loss.backward()


def test_shards_divide_what_each_process_holds(tmp_path, image_dataset):
    config = make_experiment(tmp_path, image_dataset)
    one, four = estimate.estimate(config, 1), estimate.estimate(config, 4)
    assert four.weights == one.weights // 4
    assert four.optimiser == one.optimiser // 4
    assert four.disk == one.disk


@pytest.mark.parametrize(("what", "remedy"), [("memory", "micro_batch_size"), ("disk", "Make room")])
def test_a_run_that_cannot_fit_is_refused_before_it_begins(tmp_path, image_dataset, monkeypatch, capsys, what, remedy):
    make_experiment(tmp_path, image_dataset)
    if what == "memory":
        monkeypatch.setattr(estimate, "_free_memory", lambda: 1000)
    else:
        monkeypatch.setattr(estimate.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(TrainingError, match=remedy):
        run(tmp_path)
    assert "parameters are trained; each process needs about" in capsys.readouterr().err
    assert not list((tmp_path / "results/tiny/train_state").glob("*/step_*"))


@pytest.mark.parametrize("exp", ["pi0_libero_lora", "pi05_libero_lora"])
def test_the_recipes_for_a_gpu_of_24_gb_fit_it(exp):
    config = resolve(exp, ROOT)
    assert config.cluster.gpus == 1 and estimate.estimate(config, 1).device < 20 * 2**30
