"""Training learns, promotes what it validated, and depends on nothing but its configuration and data."""

import csv
import hashlib
import json

import numpy as np
import pytest
import torch
from pisft.arithmetic import on_cpu
from pisft.config import read_resolved
from pisft.config.model import BaseWeights
from pisft.model import Pi0, save_weights
from pisft.model.weights import file_name
from pisft.train.distribution.world import World
from pisft.train.errors import Interrupted, TrainingError
from pisft.train.loop import Trainer
from pisft.train.step.validate import Validation
from safetensors.torch import load_file
from tiny_training import KEY, make_experiment, run


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


def trainer(folder, dataset, **changes):
    config = make_experiment(folder, dataset, **changes)
    return Trainer(config, folder / "results/tiny", folder / "data", KEY, World())


def index_of(folder):
    return json.loads((folder / "results/tiny/checkpoint.json").read_text())


def rows(folder):
    with (folder / "results/tiny/metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_tiny_set_is_learnt(tmp_path, image_dataset):
    t = trainer(tmp_path, image_dataset, steps=80, global_batch_size=4, flow_samples_per_prefix=8, decay_steps=80)
    batch = t.batches.make(0)
    losses = []
    for t.step in range(80):
        losses.append(t.update(batch)[1].item())
    assert losses[-1] < 0.5 * losses[0]


def test_micro_batches_give_the_gradients_of_the_whole_batch(tmp_path, image_dataset):
    gradients, losses = [], []
    for name, cluster in (("whole", {}), ("parts", {"micro_batch_size": 3})):
        t = trainer(tmp_path / name, image_dataset, global_batch_size=8, cluster=cluster)
        batches = t.batches.make(2)
        assert [len(batch) for batch in batches] == ([8] if name == "whole" else [3, 3, 2])
        t.optimizer.adamw.step = t.optimizer.adamw.zero_grad = lambda **_: None
        t.optimizer.train = t.optimizer.train.model_copy(update={"clip_grad_norm": 1e9})
        losses.append(t.update(batches))
        gradients.append([p.grad for p in t.optimizer.params.values()])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)


def test_the_same_run_gives_the_same_files(tmp_path, image_dataset):
    for name in ("a", "b"):
        make_experiment(tmp_path / name, image_dataset)
        run(tmp_path / name)
    assert index_of(tmp_path / "a") == index_of(tmp_path / "b")
    one, other = ((tmp_path / name / "results/tiny/metrics.csv").read_bytes() for name in ("a", "b"))
    assert one == other


def test_the_validation_loss_depends_on_the_weights_alone(tmp_path, image_dataset):
    t = trainer(tmp_path, image_dataset)
    before = t.validate()
    assert t.validate() == before
    t.step = 5
    assert t.validate() == before
    for average in t.optimizer.ema.values():
        average += 0.1
    assert t.validate() != before


def test_the_final_weights_are_the_averaged_ones_that_were_validated(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset)
    files = run(tmp_path)
    run_dir = tmp_path / "results/tiny"
    state = load_file(next((run_dir / "train_state").glob("*/step_8/*.safetensors")))
    weights = load_file(run_dir / "checkpoint/model.safetensors")
    values = {hashlib.sha256(v.numpy().tobytes()).hexdigest() for v in weights.values()}
    for name, average in state.items():
        if name.startswith("ema."):
            assert hashlib.sha256(average.numpy().tobytes()).hexdigest() in values
    index = index_of(tmp_path)
    assert index["step"] == 8
    assert index["val_loss"] == pytest.approx(float(rows(tmp_path)[-1]["val_loss"]), rel=1e-5)
    assert index["train_loss"] == pytest.approx(state["history"][:, 0].mean().item())
    assert {file.name for file in files} == {*index["files"], "checkpoint.json", "metrics.csv"}
    assert not list(run_dir.glob("train_state/*/last"))
    (tmp_path / "new").touch()
    modes = {file.stat().st_mode for file in (tmp_path / "results").rglob("*") if file.is_file()}
    assert modes == {(tmp_path / "new").stat().st_mode}, "whoever may read other files may read these"
    for name, facts in index["files"].items():
        content = (run_dir / "checkpoint" / name).read_bytes()
        assert facts == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_without_averaging_the_plain_weights_are_final(tmp_path, image_dataset):
    t = trainer(tmp_path, image_dataset, ema=None)
    t.run(lambda: False, lambda: None)
    t.promote("k")
    stored = load_file(tmp_path / "results/tiny/checkpoint/model.safetensors")
    assert index_of(tmp_path)["step"] == 8
    for name, parameter in t.model.named_parameters():
        assert torch.equal(stored[file_name(name)], parameter.detach()), name


def test_rows_are_means_over_the_steps_since_the_row_before(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset, log_every=3, validate_every=4)
    run(tmp_path)
    history = load_file(next((tmp_path / "results/tiny/train_state").glob("*/step_8/*.safetensors")))["history"]
    assert [int(row["step"]) for row in rows(tmp_path)] == [3, 4, 6, 8]
    for row, stretch in zip(rows(tmp_path), (slice(0, 3), slice(3, 4), slice(4, 6), slice(6, 8)), strict=True):
        assert float(row["loss"]) == pytest.approx(history[stretch, 0].mean().item(), rel=1e-5)
        assert float(row["grad_norm"]) == pytest.approx(history[stretch, 2].mean().item(), rel=1e-5)
    assert [row["val_loss"] != "" for row in rows(tmp_path)] == [False, True, False, True]


def test_the_loss_over_real_dims_leaves_the_padding_out(tmp_path, image_dataset):
    t = trainer(tmp_path, image_dataset)
    (batch,) = t.batches.make(0)
    full = t.model.flow_loss(batch.observation, batch.actions, batch.noise, batch.time)
    loss, real, _, *dims = t.update([batch])
    assert loss.item() == pytest.approx(full.mean().item(), rel=1e-5)
    assert real.item() == pytest.approx(full[..., :4].mean().item(), rel=1e-5)
    assert torch.stack(dims).tolist() == pytest.approx(full[..., :4].mean((0, 1, 2)).tolist(), rel=1e-5)


def test_a_loss_that_is_not_finite_stops_with_step_samples_and_dims(tmp_path, image_dataset):
    t = trainer(tmp_path, image_dataset, log_every=4)
    bad = t.batches.indices(2)[1]
    t.corpus.training._actions[bad, 3] = np.nan
    first = next(
        step
        for step in range(8)
        for row in [t.corpus.training.batch(t.batches.indices(step))[1]]
        if not torch.isfinite(row).all()
    )
    with pytest.raises(TrainingError) as caught:
        t.run(lambda: False, lambda: None)
    message = str(caught.value)
    assert f"step {first + 1}:" in message
    assert "actions dim 3 of tiny episode" in message
    assert ", ".join(str(i) for i in t.batches.indices(first)) in message
    assert all(torch.isfinite(tensor).all() for tensor in t.optimizer.tensors().values())


def test_a_gradient_that_explodes_names_the_largest_input(tmp_path, image_dataset):
    t = trainer(tmp_path, image_dataset)
    t.corpus.training._actions[:, 1] = 1e30
    with pytest.raises(TrainingError, match=r"step 1:.*inputs are finite.*actions dim 1 of tiny episode.*peak_lr"):
        t.run(lambda: False, lambda: None)


def test_bf16_keeps_fp32_weights(tmp_path, image_dataset):
    t = trainer(tmp_path, image_dataset, precision="bf16")
    assert torch.isfinite(t.update(t.batches.make(0))).all()
    assert all(tensor.dtype == torch.float32 for tensor in t.tensors().values())


def test_training_starts_from_the_base_weights(tmp_path, image_dataset):
    make_experiment(tmp_path / "base", image_dataset)
    run(tmp_path / "base")
    base = tmp_path / "base/results/tiny/checkpoint"
    config = make_experiment(tmp_path / "next", image_dataset, seed=1)
    config = config.model_copy(update={"model": config.model.model_copy(update={"base": BaseWeights(path=str(base))})})
    t = Trainer(config, tmp_path / "next/results/tiny", tmp_path / "next/data", KEY, World())
    save_weights(t.model, tmp_path / "loaded.safetensors")
    assert (tmp_path / "loaded.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()


def test_a_policy_without_cameras_trains_and_its_eyes_stay_as_they_were(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset)
    path = tmp_path / "results/tiny/config.json"
    config = json.loads(path.read_text())
    config["format"]["cameras"] = {}
    path.write_text(json.dumps(config))
    trained = load_file(run(tmp_path)[1].parent / "model.safetensors")
    torch.manual_seed(config["train"]["seed"])
    fresh = Pi0(read_resolved(path).model)
    assert torch.equal(trained[file_name("projector.weight")], fresh.projector.weight)
    assert not torch.equal(trained[file_name("layers.0.vlm.k_proj.weight")], fresh.layers[0].vlm.k_proj.weight)


def test_a_run_that_is_made_longer_goes_on_from_where_it_ended(tmp_path, image_dataset, capfd):
    make_experiment(tmp_path / "whole", image_dataset, steps=14)
    run(tmp_path / "whole")
    for steps in (8, 14):
        make_experiment(tmp_path / "longer", image_dataset, steps=steps)
        run(tmp_path / "longer")
    assert index_of(tmp_path / "longer") == index_of(tmp_path / "whole")
    assert "resumes from step 8" in capfd.readouterr().err


def test_a_run_that_is_made_shorter_leaves_the_longer_ones_states_alone(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset, steps=14)
    run(tmp_path)
    longer = index_of(tmp_path)
    make_experiment(tmp_path, image_dataset, steps=5)
    run(tmp_path)
    assert index_of(tmp_path)["step"] == 5
    make_experiment(tmp_path, image_dataset, steps=14)
    run(tmp_path)
    assert index_of(tmp_path) == longer


def test_weights_are_saved_for_success_against_steps(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset, steps=9, keep_every=3)
    run(tmp_path)
    (by_step,) = (tmp_path / "results/tiny/train_state").glob("*/kept")
    assert {path.name for path in by_step.iterdir() if path.is_dir()} == {"step_3", "step_6", "step_9"}
    final = (tmp_path / "results/tiny/checkpoint/model.safetensors").read_bytes()
    assert (by_step / "step_9/model.safetensors").read_bytes() == final
    assert (by_step / "step_6/model.safetensors").read_bytes() != final
    assert all(row["val_loss"] for row in rows(tmp_path) if int(row["step"]) % 3 == 0)


def test_the_checkpoint_stands_until_another_run_has_ended(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset)
    files = {path: path.read_bytes() for path in run(tmp_path)}
    t = trainer(tmp_path, image_dataset, steps=16)
    with pytest.raises(Interrupted):
        t.run(lambda: t.step == 12, lambda: None)
    assert {path: path.read_bytes() for path in files} == files


def test_a_damaged_table_is_written_again(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset)
    run(tmp_path)
    table = tmp_path / "results/tiny/metrics.csv"
    whole = table.read_bytes()
    table.write_bytes(whole.replace(b"1", b"2"))
    run(tmp_path)
    assert table.read_bytes() == whole


def test_where_nothing_is_held_out_it_is_trained_without_validation_and_said(tmp_path, image_dataset, capsys):
    make_experiment(tmp_path, image_dataset, parts={"split": {"heldout_fraction": 0}})
    run(tmp_path)
    assert "split.heldout_fraction is 0: trained without validation" in capsys.readouterr().err
    assert index_of(tmp_path)["val_loss"] is None and index_of(tmp_path)["train_loss"] > 0
    assert not any(row["val_loss"] for row in rows(tmp_path))


@pytest.mark.parametrize("chosen", ["best", 4])
def test_the_checkpoint_is_the_one_that_the_config_chooses(tmp_path, image_dataset, monkeypatch, chosen):
    options = {"steps": 12, "validate_every": 2, "keep_every": 2}
    config = make_experiment(tmp_path, image_dataset, parts={"eval": {"checkpoint": chosen}}, **options)
    losses = iter([5.0, 4.0, 3.0, 3.5, 4.5, 6.0])
    monkeypatch.setattr(Validation, "__call__", lambda *_: {"val_loss": next(losses), "val_loss_real_dims": 0.0})
    t = Trainer(config, tmp_path / "results/tiny", tmp_path / "data", KEY, World())
    t.run(lambda: False, lambda: None)
    t.promote(KEY)
    step, loss = (6, 3.0) if chosen == "best" else (4, 4.0)
    index = index_of(tmp_path)
    assert (index["step"], index["val_loss"]) == (step, loss)
    (by_step,) = (tmp_path / "results/tiny/train_state").glob(f"*/kept/step_{step}")
    final = (tmp_path / "results/tiny/checkpoint/model.safetensors").read_bytes()
    assert final == (by_step / "model.safetensors").read_bytes()


def test_chosen_steps_are_traced(tmp_path, image_dataset):
    parts = {"logging": {"tensorboard": False, "profile_steps": [2, 4]}}
    make_experiment(tmp_path, image_dataset, parts=parts)
    run(tmp_path)
    (trace,) = (tmp_path / "results/tiny/trace").iterdir()
    assert trace.name == "steps_2-4.rank0.json"
    assert "addmm" in trace.read_text() or "linear" in trace.read_text()


def test_recomputing_activations_changes_nothing(tmp_path, image_dataset):
    for name, cluster in (("plain", {}), ("recomputed", {"activation_checkpointing": True})):
        make_experiment(tmp_path / name, image_dataset, cluster)
        run(tmp_path / name)
    assert index_of(tmp_path / "plain") == index_of(tmp_path / "recomputed")


@pytest.mark.slow
def test_compiling_changes_no_loss(tmp_path, image_dataset):
    for name, cluster in (("plain", {}), ("compiled", {"compile": True})):
        make_experiment(tmp_path / name, image_dataset, cluster)
        run(tmp_path / name)
    plain, compiled = index_of(tmp_path / "plain"), index_of(tmp_path / "compiled")
    assert compiled["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-4)
    assert compiled["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-4)
    # the compiler's cache tells kernels for other numbers of threads and other widths of vectors apart
    assert torch._inductor.config.cpp.threads == torch.get_num_threads()
    assert torch._inductor.config.cpp.simdlen == (256 if on_cpu() == "portable" else None)


def test_no_step_at_all_makes_the_base_weights_final(tmp_path, image_dataset):
    torch.manual_seed(7)
    model = Pi0(make_experiment(tmp_path, image_dataset).model)
    save_weights(model, tmp_path / "base.safetensors")
    make_experiment(tmp_path, image_dataset, model={"base": {"path": str(tmp_path / "base.safetensors")}}, steps=0)
    run(tmp_path)
    assert index_of(tmp_path)["step"] == 0
    weights = (tmp_path / "results/tiny/checkpoint/model.safetensors").read_bytes()
    assert weights == (tmp_path / "base.safetensors").read_bytes()


def test_augmentation_changes_what_is_trained_on_and_not_what_is_validated(tmp_path, image_dataset):
    plain, augmented = (trainer(tmp_path / str(on), image_dataset, augment=on) for on in (False, True))
    assert augmented.validate() == plain.validate()
    (a,), (b,) = plain.batches.make(0), augmented.batches.make(0)
    assert torch.equal(a.observation.images["base_0_rgb"], b.observation.images["base_0_rgb"])
    assert torch.equal(a.augmented().images["base_0_rgb"], a.observation.images["base_0_rgb"])
    assert not torch.equal(b.augmented().images["base_0_rgb"], a.observation.images["base_0_rgb"])
    assert plain.update([a])[0] != augmented.update([b])[0]


def test_augmentation_does_not_depend_on_micro_batches(tmp_path, image_dataset):
    losses = []
    for size in (None, 3):
        t = trainer(tmp_path / str(size), image_dataset, cluster={"micro_batch_size": size}, augment=True)
        losses.append(t.update(t.batches.make(1)))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)


def test_all_processes_and_micro_batches_see_the_same_shapes(tmp_path, image_dataset, monkeypatch):
    config = make_experiment(tmp_path, image_dataset, cluster={"micro_batch_size": 1}, global_batch_size=8)
    t = Trainer(config, tmp_path / "results/tiny", tmp_path / "data", KEY, World())
    monkeypatch.setattr(t.corpus.training, "_prompt", lambda index, state: [1] * (5 + 9 * (index % 2)))
    for rank in (0, 1):
        t.batches.world = World(rank=rank, size=2)
        for step in range(3):
            longest = 5 + 9 * (t.batches.indices(step) % 2).any()
            for batch in t.batches.make(step):
                assert batch.observation.tokens.shape == (1, -(-longest // 8) * 8)


def test_weights_that_were_not_saved_cannot_be_chosen(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset)
    run(tmp_path)
    before = index_of(tmp_path)
    make_experiment(tmp_path, image_dataset, parts={"eval": {"checkpoint": 4}}, keep_every=4)
    with pytest.raises(TrainingError, match=r"eval.checkpoint: found 4; .*kept/step_4 is not there"):
        run(tmp_path)
    assert index_of(tmp_path) == before
