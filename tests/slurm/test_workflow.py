"""What a user types."""

import json
import os
import signal
import subprocess

import pytest
from slurm_run import queue, squeue, wait_for
from typed_project import copy_project


@pytest.fixture
def bare(tmp_path):
    """A project in which nothing is built or configured."""
    return copy_project(tmp_path / "bare")


def test_the_whole_graph_on_two_nodes(bare):
    done = bare.snakemake("results/pi05_libero~smoke/eval.json", "--profile", "slurm")
    run = bare.root / "results/pi05_libero~smoke"
    assert json.loads((run / "eval.json").read_text())["open_loop"]["flow_loss"] > 0
    (script,) = (run / "slurm").glob("*_submission.sh")
    job = script.name.split("_")[0]
    assert squeue(job, "%D %N") in ("2 node[1-2]", "2 node[2-3]", "2 node[1,3]")
    assert len(list((run / "slurm").glob(f"{job}_*_log.out"))) == 2
    names = subprocess.run(["sacct", "-X", "-n", "-P", "-o", "Comment%60"], capture_output=True, text=True).stdout
    del names
    for rule in ("make_dataset", "make_frames", "norm_stats", "evaluate"):
        assert f"rule_{rule}" in (done.stdout + done.stderr), rule
    assert f"job {job}" in done.stdout + done.stderr
    assert bare.plan("results/pi05_libero~smoke/eval.json") == set()
    assert (run / "slurm").stat().st_mode & 0o777 == 0o700


@pytest.mark.long
def test_snakemake_may_die_and_come_back(run):
    snakemake = ("snakemake", "results/tiny/checkpoint.json", "--profile", "slurm")
    first = run.start(*snakemake)
    run.reaches(5)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    said = run.ended(run.start(*snakemake))
    assert "trains this already: attached to it" in said
    assert (run.attempts(), len(run.jobs())) == (1, 1)


def test_ctrl_c_leaves_the_job_and_says_so(run):
    snakemake = ("snakemake", "results/tiny/checkpoint.json", "--profile", "slurm")
    process = run.start(*snakemake)
    run.reaches(5)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    assert f"job {run.job()} keeps running without this command" in process.said()
    assert run.state() == "RUNNING"
    run.ended(run.start(*snakemake))
    assert (run.attempts(), len(run.jobs())) == (1, 1)


@pytest.mark.long
def test_experiments_wait_and_train_beside_each_other(run):
    """As many jobs as there are experiments are in the queue at once, whatever the cores of this machine."""
    text = (
        (run.root / "config/experiments/tiny.yaml")
        .read_text()
        .replace("num_nodes: 2, ", "")
        .replace("steps: 60", "steps: 40")
    )
    names = [f"tiny_{n}" for n in range(6)]
    for n, name in enumerate(names):
        (run.root / f"config/experiments/{name}.yaml").write_text(
            text.replace("peak_lr: 1.0e-3", f"peak_lr: {n + 1}.0e-3")
        )
    targets = [f"results/{name}/checkpoint.json" for name in names]
    run.project.snakemake("-c2", *(f"results/{name}/norm_stats.json" for name in names))
    process = run.start("snakemake", *targets, "--profile", "slurm")

    def running() -> int:
        return sum("tiny_" in line for line in squeue_running())

    wait_for(lambda: running() >= 5, 120, lambda: process.said() + queue())
    run.ended(process)
    assert all((run.root / target).exists() for target in targets)


def squeue_running() -> list[str]:
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%j"]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
