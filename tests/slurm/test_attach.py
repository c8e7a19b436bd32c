"""A job is submitted once, whatever becomes of the command that submitted it."""

import os
import signal
import subprocess
import sys

import pytest
from slurm_run import squeue, wait_for


def blocked(seconds: int) -> str:
    """A job that takes all nodes, so that others wait."""
    command = [
        "sbatch",
        "--parsable",
        "--nodes=3",
        "--ntasks-per-node=16",
        "--output=/dev/null",
        f"--wrap=sleep {seconds}",
    ]
    job = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    wait_for(lambda: squeue(job, "%T") in ("RUNNING", "COMPLETED"), 60)
    return job


def killed(process) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def busy():
    """All nodes are taken until the test ends this."""
    job = blocked(600)
    yield lambda: subprocess.run(["scancel", job], check=True)
    subprocess.run(["scancel", job], capture_output=True)


def test_a_command_that_dies_while_the_job_waits_or_runs_is_followed_by_one_that_attaches(run, uninterrupted, busy):
    first = run.start()
    wait_for(lambda: "waits in partition train, 1 of 1: Resources" in first.said(), 60, first.said)
    killed(first)
    second = run.start()
    wait_for(lambda: "attached to it" in second.said(), 60, second.said)
    busy()
    run.reaches(15)
    killed(second)
    assert "attached to it" in run.ended(run.start())
    assert (run.attempts(), len(run.jobs())) == (1, 1)
    assert run.weights() == uninterrupted.weights()
    provenance = run.run_dir / "provenance/train.json"
    assert provenance.exists()


@pytest.mark.long
def test_what_a_job_made_after_its_command_died_is_used(run):
    first = run.start()
    run.job()
    killed(first)
    wait_for(lambda: run.state() == "COMPLETED", 120)
    before = run.weights()
    said = run.ended(run.start())
    assert "job" not in said
    assert (run.weights(), len(run.jobs())) == (before, 1)
    assert run.project.plan("results/tiny/checkpoint.json") == set()


DIES = """
import os, signal, sys
import submitit.core.utils
sys.path.insert(0, "scripts")
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
submitit.core.utils.JobPaths.move_temporary_file = die
sys.argv = ["scripts/train.py", "results/tiny/config.json", "--launcher", "slurm"]
exec(open(sys.argv[0]).read())
"""


@pytest.mark.long
def test_dying_between_the_submission_and_its_note_submits_once(run, uninterrupted, busy):
    assert run.start(sys.executable, "-c", DIES).wait(60) == -signal.SIGKILL
    (job,) = squeue_names("tiny-")
    second = run.start()
    wait_for(lambda: f"job {job} makes this already" in second.said(), 60, second.said)
    busy()
    run.ended(second)
    assert run.weights() == uninterrupted.weights()


def squeue_names(start: str) -> list[str]:
    lines = subprocess.run(["squeue", "--noheader", "--format=%i %j"], capture_output=True, text=True).stdout.split(
        "\n"
    )
    return [line.split()[0] for line in lines if line and line.split()[1].startswith(start)]


@pytest.mark.long
def test_two_commands_at_once_submit_one_job(run):
    first, second = run.start(), run.start()
    codes = sorted((first.wait(200), second.wait(200)))
    assert len(run.jobs()) == 1, first.said() + second.said()
    assert codes in ([0, 0], [0, 1])


@pytest.mark.long
def test_a_job_of_another_configuration_is_not_attached_to(run, busy):
    killed_later = run.start()
    job = run.job()
    killed(killed_later)
    run.project.edit("config/experiments/tiny.yaml", "steps: 60", "steps: 50")
    run.project.python("scripts/resolve.py", "tiny")
    said = run.ended(run.start(), code=1)
    assert f"job {job} (PENDING) trains it with an earlier configuration" in said and f"scancel {job}" in said


@pytest.mark.long
def test_a_job_does_not_train_what_was_changed_while_it_waited(run, busy):
    process = run.start()
    run.job()
    run.project.edit("config/experiments/tiny.yaml", "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    run.project.python("scripts/resolve.py", "tiny")
    busy()
    assert "have changed since the job was submitted" in run.ended(process, code=1)


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupting_the_command_leaves_the_job(run, name):
    process = run.start()
    run.reaches(5)
    os.kill(process.pid, getattr(signal, name))
    said = run.ended(process, code=130)
    assert f"job {run.job()} keeps running without this command; scancel {run.job()} ends it" in said
    assert "run the same command again" in said
    run.ended(run.start())
    assert (run.attempts(), len(run.jobs())) == (1, 1)


def test_scancel_ends_the_job_and_the_command(run):
    process = run.start()
    run.reaches(25)
    subprocess.run(["scancel", run.job()], check=True)
    assert "was cancelled" in run.ended(process, code=1)
    assert run.saved() > 20, "the step was finished and saved"
    assert "resumes from step" in run.ended(run.start())
    assert len(run.jobs()) == 2


@pytest.mark.long
def test_a_lease_of_a_job_that_has_ended_on_another_node_is_taken_over(run):
    import json

    ended = blocked(0)
    wait_for(lambda: squeue(ended, "%T") == "COMPLETED", 60)
    lease = run.run_dir / "train_state/lease.json"
    lease.parent.mkdir()
    lease.write_text(
        json.dumps({"host": "elsewhere", "job": ended, "turn": "0", "pid": 1, "processes": "x", "started": "1"})
    )
    run.ended(run.start())
