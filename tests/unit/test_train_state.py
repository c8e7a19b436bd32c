"""A training state on disk is whole or not there, and is read without running anybody's code."""

import os

import pytest
import torch
from pisft.train.checkpoints import state
from pisft.train.errors import TrainingError


def tensors(value):
    return {"model.w": torch.full((4, 3), float(value)), "adamw.step.w": torch.tensor(float(value))}


def save(folder, step, check=lambda: None):
    return state.save(folder, step, tensors(step), {"metrics.csv": f"up to {step}\n"}, check)


def test_what_is_saved_comes_back(tmp_path):
    save(tmp_path, 7)
    loaded = tensors(0)
    assert state.load(state.latest(tmp_path), loaded) == 7
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors(7).items())
    assert (state.latest(tmp_path) / "metrics.csv").read_text() == "up to 7\n"


def test_the_last_two_are_kept(tmp_path):
    for step in (5, 9, 10, 100):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_10", "step_100"]


def test_nothing_is_pickled(tmp_path):
    assert {path.suffix for path in save(tmp_path, 1).iterdir()} <= {".safetensors", ".json", ".csv"}


@pytest.mark.parametrize("kind", [".safetensors", ".csv", "state.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_state_is_passed_over(tmp_path, kind, damage):
    save(tmp_path, 1)
    broken = next(path for path in save(tmp_path, 2).iterdir() if path.name.endswith(kind))
    if damage == "missing":
        broken.unlink()
    else:
        os.truncate(broken, broken.stat().st_size // 2)
    assert state.latest(tmp_path).name == "step_1"
    save(tmp_path, 2)
    assert state.latest(tmp_path).name == "step_2"


def test_a_half_written_state_is_no_state(tmp_path):
    half = save(tmp_path, 1).rename(tmp_path / ".step_1.tmp")
    assert state.latest(tmp_path) is None
    save(tmp_path, 2)
    assert not half.exists()


def test_a_state_whose_writer_lost_its_lease_gets_no_name(tmp_path):
    save(tmp_path, 1)

    def lost():
        raise TrainingError("lost")

    with pytest.raises(TrainingError, match="lost"):
        save(tmp_path, 2, lost)
    assert state.latest(tmp_path).name == "step_1"


@pytest.mark.parametrize("wanted", [{"model.other": torch.zeros(4, 3)}, {"model.w": torch.zeros(5, 3)}])
def test_a_state_of_another_model_is_refused(tmp_path, wanted):
    path = save(tmp_path, 3)
    with pytest.raises(TrainingError, match=r"step_3.*does not fit"):
        state.load(path, wanted)
