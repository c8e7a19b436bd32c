"""However a job is interrupted, it resumes by itself and ends with the weights of one that was not."""

import csv
import shutil
import subprocess

import pytest
from slurm_run import squeue, wait_for


@pytest.fixture
def same_weights(uninterrupted, run):
    """Checks that training has ended as without a disturbance, in one job of at least two attempts."""

    def check(process, attempts=2):
        run.ended(process)
        assert run.weights() == uninterrupted.weights()
        assert run.losses() == uninterrupted.losses()
        assert run.attempts() >= attempts
        assert len(run.jobs()) == 1

    return check


@pytest.mark.parametrize("name", ["USR2", pytest.param("TERM", marks=pytest.mark.long)])
def test_a_signal(run, same_weights, name):
    process = run.start()
    run.reaches(25)
    subprocess.run(["scancel", f"--signal={name}", run.job()], check=True)
    same_weights(process)


@pytest.mark.long
def test_requeueing_from_outside_goes_on_from_the_last_saved_state(run, same_weights):
    process = run.start()
    run.reaches(25)
    subprocess.run(["scontrol", "requeue", run.job()], check=True)
    same_weights(process)


@pytest.mark.long
def test_a_partition_that_goes_first(run, same_weights):
    process = run.start()
    run.reaches(25)
    urgent = ["sbatch", "--parsable", "--partition=urgent", "--nodes=3", "--ntasks-per-node=16", "--wrap=sleep 3"]
    other = subprocess.run([*urgent, "--output=/dev/null"], check=True, capture_output=True, text=True).stdout.strip()
    wait_for(lambda: squeue(other, "%T") == "COMPLETED", 60)
    same_weights(process)


@pytest.mark.long
def test_a_limit_far_below_the_jobs_length_is_met_as_often_as_it_takes(run, uninterrupted):
    """More often than submitit would; SLURM's clock counts minutes, so that the warning comes in the midst of one."""
    rows = list(csv.DictReader((uninterrupted.run_dir / "metrics.timing.csv").open()))
    steps_per_s = sorted(float(row["samples_per_s"]) for row in rows)[len(rows) // 2] / 8
    run.project.edit("config/experiments/tiny.yaml", "steps: 60,", f"steps: {int(75 * steps_per_s)},")
    run.project.python("scripts/resolve.py", "tiny")
    run.site(train={"minutes": 1, "warning_s": 44})
    run.ended(run.start(), within=600)
    assert run.attempts() > 4
    weights, losses = run.weights(), run.losses()

    shutil.rmtree(run.run_dir / "train_state")
    (run.run_dir / "checkpoint.json").unlink()
    run.project.edit("config/experiments/tiny.yaml", "num_nodes: 2", "gpus: 2")
    run.project.python("scripts/resolve.py", "tiny")
    run.ended(run.start(launcher="local"))
    assert (run.weights(), run.losses()) == (weights, losses)
