"""How many processes train is no part of the result: same losses, same order, and a state that fits any number.

Sums are taken in another order, and fifty steps amplify what that rounds: to 1e-5 on some processors, 4e-5 on others.
"""

import json
import multiprocessing
import socket

import pytest
import torch
from pisft.config.train import Cluster
from safetensors.torch import load_file
from tiny_training import make_experiment, run, run_as

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


@pytest.mark.parametrize(("shard", "mesh"), [("node", (2, 2)), ("all", (4,))])
def test_the_losses_do_not_depend_on_who_holds_which_weights(tmp_path, image_dataset, alone, shard, mesh):
    cluster = {"num_nodes": 2, "gpus": 2, "micro_batch_size": 1, "shard": shard}
    make_experiment(tmp_path, image_dataset, cluster, **LONG | {"steps": 30})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pisft.train.loop"])
    processes = [context.Process(target=run_as, args=(tmp_path, rank, 2, 2, port, mesh)) for rank in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    make_experiment(tmp_path, image_dataset, **LONG)
    run(tmp_path)
    torch.testing.assert_close(history(tmp_path), history(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shard", "processes", "local", "shards"),
    [
        ("node", 16, 8, 8),
        ("all", 16, 8, 16),
        ("node", 8, 8, 8),
        ("node", 4, 1, 4),
        ("node", 1, 1, 1),
        ("node", 6, 4, 6),
    ],
)
def test_weights_are_divided_among_the_processes_of_a_node(shard, processes, local, shards):
    assert Cluster(shard=shard).shards(processes, local) == shards
