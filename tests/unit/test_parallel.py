"""How many processes train is no part of the result: same losses, same order, and a state that fits any number.

Sums are taken in another order, and fifty steps amplify what that rounds: to 1e-5 on some processors, 4e-5 on others.
"""

import json

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import make_experiment, run

LONG = {
    "global_batch_size": 8,
    "steps": 50,
    "decay_steps": 50,
    "peak_lr": 1e-3,
    "log_every": 10,
    "validate_every": 20,
    "save_every": 25,
}


def history(folder, step=50):
    state = next((folder / "results/tiny/train_state").glob(f"*/step_{step}"))
    tensors = {}
    for file in state.glob("*.safetensors"):
        tensors |= load_file(file)
    return tensors["history"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, image_dataset):
    folder = tmp_path_factory.mktemp("alone")
    make_experiment(folder, image_dataset, **LONG)
    run(folder)
    return folder


@pytest.mark.parametrize("processes", [2, 4])
def test_the_losses_do_not_depend_on_the_number_of_processes(tmp_path, image_dataset, alone, processes):
    cluster = {"gpus": processes, "micro_batch_size": 1 if processes == 4 else None}
    make_experiment(tmp_path, image_dataset, cluster, **LONG)
    run(tmp_path)
    torch.testing.assert_close(history(tmp_path), history(alone), rtol=1e-4, atol=1e-5)
    index, expected = (json.loads((f / "results/tiny/checkpoint.json").read_text()) for f in (tmp_path, alone))
    assert index["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-4)
    assert index["files"].keys() == expected["files"].keys()


def test_a_run_goes_on_with_another_number_of_processes(tmp_path, image_dataset, alone):
    for processes, steps in ((2, 20), (1, 30), (2, 50)):
        make_experiment(tmp_path, image_dataset, {"gpus": processes}, **LONG | {"steps": steps})
        run(tmp_path)
    torch.testing.assert_close(history(tmp_path), history(alone), rtol=1e-4, atol=1e-5)
