"""However a run is stopped, the same command resumes, and ends with the weights of a run that nobody stopped."""

import contextlib
import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest
from tiny_training import make_experiment, start

LONG = {"steps": 60, "decay_steps": 60, "save_every": 7, "validate_every": 20}


def result(folder):
    """The checkpoint, but for the key, which tells how often states were saved."""
    index = json.loads((folder / "results/tiny/checkpoint.json").read_text())
    return index | {"key": None}


def log(folder):
    return (folder / "log").read_text()


def states(folder):
    return sorted((folder / "results/tiny/train_state").glob("*/step_*"), key=lambda p: int(p.name[5:]))


def finish(folder, **options):
    process = start(folder, **options)
    process.join(60)
    return process.exitcode


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.exitcode is None, "ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def steps_and_losses(folder):
    with (folder / "results/tiny/metrics.csv").open() as file:
        return list(csv.reader(file))[1:]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, image_dataset):
    folder = tmp_path_factory.mktemp("undisturbed")
    make_experiment(folder, image_dataset, **LONG)
    assert finish(folder) == 0
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_to_the_same_weights(
    tmp_path, image_dataset, undisturbed, number
):
    make_experiment(tmp_path, image_dataset, **LONG)
    process = start(tmp_path)
    wait_for(lambda: states(tmp_path), process)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 130
    assert not (tmp_path / "results/tiny/checkpoint.json").exists()
    assert finish(tmp_path) == 0
    assert result(tmp_path) == result(undisturbed)
    assert steps_and_losses(tmp_path) == steps_and_losses(undisturbed)


def test_a_run_that_is_killed_anywhere_goes_on_to_the_same_weights(tmp_path, image_dataset, undisturbed):
    make_experiment(tmp_path, image_dataset, **LONG | {"save_every": 1})
    kills = 0
    for delay in (0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1):
        code = finish(tmp_path, kill_after=delay)
        assert code in (0, -signal.SIGKILL), log(tmp_path)
        kills += code != 0
        if code == 0:
            break
    assert kills
    assert finish(tmp_path) == 0
    assert result(tmp_path) == result(undisturbed)
    assert steps_and_losses(tmp_path) == steps_and_losses(undisturbed)


def test_a_damaged_last_state_costs_only_the_steps_since_the_one_before(tmp_path, image_dataset, undisturbed):
    make_experiment(tmp_path, image_dataset, **LONG)
    process = start(tmp_path)
    wait_for(lambda: len(states(tmp_path)) == 2, process)
    process.kill()
    process.join()
    last = next(states(tmp_path)[-1].glob("*.safetensors"))
    os.truncate(last, last.stat().st_size - 1)
    assert finish(tmp_path) == 0
    assert result(tmp_path) == result(undisturbed)
    assert steps_and_losses(tmp_path) == steps_and_losses(undisturbed)


def test_a_second_trainer_is_refused_and_the_first_is_not_disturbed(tmp_path, image_dataset, undisturbed):
    make_experiment(tmp_path, image_dataset, **LONG)
    first = start(tmp_path)
    wait_for(lambda: states(tmp_path), first)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        assert finish(tmp_path) == 1
        assert f"lease.json: held by process {first.pid}" in log(tmp_path)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    first.join(60)
    assert first.exitcode == 0
    assert result(tmp_path) == result(undisturbed)


def test_a_full_disk_leaves_the_last_state_and_the_checkpoint(tmp_path, image_dataset, undisturbed):
    make_experiment(tmp_path, image_dataset, **LONG)
    process = start(tmp_path)
    wait_for(lambda: states(tmp_path), process)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    before = {path: path.stat().st_mtime_ns for state in states(tmp_path) for path in state.iterdir()}
    assert finish(tmp_path, file_limit=20_000) == 1
    assert "training state cannot be written" in log(tmp_path)
    assert "make room" in log(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for state in states(tmp_path) for path in state.iterdir()}
    assert not list((tmp_path / "results/tiny/train_state").glob("*/.*"))
    assert finish(tmp_path) == 0
    assert result(tmp_path) == result(undisturbed)


def test_a_full_disk_while_promoting_leaves_the_checkpoint_before(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset)
    assert finish(tmp_path) == 0
    checkpoint = tmp_path / "results/tiny/checkpoint"
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in checkpoint.iterdir()}
    make_experiment(tmp_path, image_dataset, validate_every=2)  # another checkpoint, of the same training
    assert finish(tmp_path, file_limit=20_000) == 1
    assert "checkpoint cannot be written" in log(tmp_path)
    assert before == {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in checkpoint.iterdir()}


def test_a_run_that_ended_before_it_promoted_only_promotes(tmp_path, image_dataset, undisturbed):
    make_experiment(tmp_path, image_dataset, **LONG)
    assert finish(tmp_path) == 0
    table = steps_and_losses(tmp_path)
    (tmp_path / "results/tiny/checkpoint.json").unlink()
    assert finish(tmp_path) == 0
    assert result(tmp_path) == result(undisturbed)
    assert steps_and_losses(tmp_path) == table


@pytest.mark.slow
def test_a_run_that_loses_any_of_its_processes_ends_and_goes_on_to_the_same_weights(tmp_path, image_dataset):
    cluster = {"gpus": 2}
    for name in ("undisturbed", "killed"):
        make_experiment(tmp_path / name, image_dataset, cluster, **LONG | {"steps": 150})
    assert finish(tmp_path / "undisturbed") == 0
    folder = tmp_path / "killed"
    for victim in ("launcher", "rank 0", "rank 1"):
        before = len(states(folder)) and int(states(folder)[-1].name[5:])
        launcher = start(folder)
        wait_for(lambda before=before: states(folder) and int(states(folder)[-1].name[5:]) > before, launcher)
        ranks = trainers(launcher.pid)
        assert len(ranks) == 2
        os.kill({"launcher": launcher.pid, "rank 0": ranks[0], "rank 1": ranks[1]}[victim], signal.SIGKILL)
        launcher.join(60)
        assert launcher.exitcode == (-signal.SIGKILL if victim == "launcher" else 1)
        if victim != "launcher":
            assert f"process {victim[-1]} of 2 was ended by SIGKILL" in log(folder)
        deadline = time.monotonic() + 30
        while any(alive(pid) for pid in ranks):
            assert time.monotonic() < deadline, "a process was left behind"
            time.sleep(0.05)
    assert finish(folder) == 0
    assert result(folder) == result(tmp_path / "undisturbed")
    assert steps_and_losses(folder) == steps_and_losses(tmp_path / "undisturbed")


def test_a_signal_to_the_launcher_lets_all_processes_save_the_same_step(tmp_path, image_dataset):
    make_experiment(tmp_path, image_dataset, {"gpus": 2}, **LONG)
    launcher = start(tmp_path)
    wait_for(lambda: states(tmp_path), launcher)
    os.kill(launcher.pid, signal.SIGTERM)
    launcher.join(60)
    assert launcher.exitcode == 130
    assert finish(tmp_path) == 0
    assert [row[0] for row in steps_and_losses(tmp_path)] == [str(step) for step in range(2, 61, 2)]


def trainers(launcher):
    """Process ids of the ranks below `launcher`, in order: the server that it started has forked them."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    servers = {pid for pid, parent in parents.items() if parent == launcher}
    return sorted(pid for pid, parent in parents.items() if parent in servers)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
