"""Whatever dies, the job ends or resumes in bounded time; a node that is not fit is named and excluded."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from slurm_run import CLUSTER, squeue, wait_for

NODE = Path(__file__).with_name("node.sh")


def processes(part: str) -> list[int]:
    """Ids of those with `part` in their command line."""
    found = subprocess.run(["pgrep", "--full", part], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found if int(pid) != os.getpid()]


def rank(run, number: int) -> int:
    """The process of the job that has this number."""
    for pid in processes("submitit.core._submit"):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if f"SLURM_PROCID={number}".encode() in variables and f"SLURM_JOB_ID={run.job()}".encode() in variables:
            return pid
    raise AssertionError(f"no process {number}")


def slurmd(node: str) -> int:
    return int((CLUSTER / f"run/slurmd.{node}.pid").read_text())


@pytest.fixture
def nodes():
    """Whatever a test does to nodes, they are well afterwards."""
    yield
    for n in (1, 2, 3):
        node = f"node{n}"
        (CLUSTER / f"nodes/{node}.env").write_text("export PISFT_DEVICE=cpu\n")
        try:
            os.kill(slurmd(node), 0)
        except ProcessLookupError:
            subprocess.run([NODE, CLUSTER, node], check=True)
    subprocess.run(["scontrol", "update", "NodeName=node[1-3]", "State=RESUME"], capture_output=True)
    wait_for(
        lambda: subprocess.run(
            ["sinfo", "-h", "-p", "train", "-t", "idle", "-o", "%D"], capture_output=True, text=True
        ).stdout.strip() == "3", 60,
    )  # fmt: skip


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_killed_process_ends_the_attempt_and_the_job_resumes(run, uninterrupted, number):
    process = run.start()
    run.reaches(25)
    os.kill(rank(run, number), signal.SIGKILL)
    said = run.ended(process)
    assert "Killed" in said
    assert "is requeued; step 20 is saved" in said
    assert run.weights() == uninterrupted.weights()
    assert (run.attempts(), len(run.jobs())) == (2, 1)


@pytest.mark.long
def test_a_job_killed_with_its_batch_script_is_put_back_by_who_waits(run, uninterrupted):
    process = run.start()
    run.reaches(15)
    for pid in (*processes("slurm_script"), rank(run, 0), rank(run, 1)):
        os.kill(pid, signal.SIGKILL)
    said = run.ended(process)
    assert "it is requeued" in said
    assert run.weights() == uninterrupted.weights()
    assert (run.attempts(), len(run.jobs())) == (2, 1)


@pytest.mark.long
def test_a_dead_node_is_left_for_another(run, uninterrupted, nodes):
    process = run.start()
    run.reaches(15)
    os.kill(slurmd("node2"), signal.SIGKILL)
    os.kill(rank(run, 1), signal.SIGKILL)
    run.ended(process)
    assert run.weights() == uninterrupted.weights()
    assert len(run.jobs()) == 1


@pytest.fixture
def new_cluster():
    """Afterwards: a controller that was killed may count a GPU as taken for ever."""
    yield
    for script in ("down.sh", "up.sh"):
        subprocess.run([NODE.with_name(script)], check=True, capture_output=True)


@pytest.mark.long
def test_a_controller_that_comes_back_finds_the_job_as_it_was(uninterrupted, new_cluster, run):
    process = run.start()
    run.reaches(15)
    os.kill(int((CLUSTER / "run/slurmctld.pid").read_text()), signal.SIGKILL)
    try:
        wait_for(lambda: "this command waits" in process.said(), 60, process.said)
    finally:
        subprocess.run(["slurmctld"], check=True)
    run.ended(process)
    assert run.weights() == uninterrupted.weights()
    assert (run.attempts(), len(run.jobs())) == (1, 1)


def test_a_node_whose_gpu_does_not_work_is_named_and_left_out(run, nodes):
    (CLUSTER / "nodes/node2.env").write_text("unset PISFT_DEVICE\n")  # the batch script, elsewhere, hands its own on
    process = run.start()
    said = run.ended(process)
    assert "node2 is excluded from now on: 1 GPUs were allocated, torch can use 0" in said
    assert squeue(run.job(), "%x %N") == "node2 node[1,3]"


@pytest.mark.long
@pytest.mark.parametrize("node", ["node1", "node2"])
def test_a_node_without_the_shared_folder_is_named_and_left_out(run, nodes, node):
    inside = ["nsenter", f"--target={slurmd(node)}", "--mount"]
    subprocess.run([*inside, "mount", "-t", "tmpfs", "none", run.root], check=True)
    try:
        said = run.ended(run.start())
    finally:
        subprocess.run([*inside, "umount", run.root], check=True)
    assert f"{node} is excluded from now on" in said
    assert node not in squeue(run.job(), "%N")


@pytest.mark.long
def test_a_folder_that_is_not_shared_is_an_error(run, nodes):
    inside = [["nsenter", f"--target={slurmd(f'node{n}')}", "--mount"] for n in (1, 2, 3)]
    for prefix in inside:
        subprocess.run([*prefix, "mount", "-t", "tmpfs", "none", run.root], check=True)
    try:
        said = run.ended(run.start(), code=1)
    finally:
        for prefix in inside:
            subprocess.run([*prefix, "umount", run.root], check=True)
    assert "expected a folder on a disk that all nodes share" in said


def test_a_failure_that_a_person_must_mend_is_told_once_and_not_tried_again(run):
    run.project.edit("config/experiments/tiny.yaml", "peak_lr: 1.0e-3", "peak_lr: 1.0e+30")
    run.project.python("scripts/resolve.py", "tiny")
    said = run.ended(run.start(), code=1)
    assert said.count("the loss is nan") == 1, said
    assert "Traceback" not in said.split("error: ")[1]
    assert "_log.out)" in said
    assert run.attempts() == 1


@pytest.mark.long
def test_a_job_that_gets_no_further_is_given_up(run):
    run.site(train={"turns": 2})
    (run.root / "workflow/sitecustomize.py").write_text(
        "import os\nif os.environ.get('SLURM_PROCID') == '1': os.kill(os.getpid(), 9)\n"
    )
    said = run.ended(run.start(), code=1)
    assert "2 attempts of job" in said and "without getting further than the start" in said
    assert run.attempts() == 2
