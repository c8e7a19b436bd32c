"""Run by a training job's batch script when its processes have ended: decides whether the job is requeued.

    python -m pisft.cluster.settle results/<exp> <job's key> <fingerprint>

The job is requeued, whatever ended the processes, unless the checkpoint is complete, a person must fix something, the
job was cancelled, or its last attempts made no progress. Unfit nodes are excluded from then on.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from pisft import slurm
from pisft.cluster.attempt import Attempt
from pisft.config.site import load
from pisft.train.checkpoints.files import is_complete, state_folder


def settle(run_dir: Path, key: str, fingerprint: str, job_id: str) -> int:
    """Decide how this attempt ends, and requeue the job if it is to continue; returns the script's exit code.

    Runs on the job's first node. After requeueing it sleeps, since SLURM ends the script.
    """
    attempt = Attempt.current(run_dir / "slurm")
    if is_complete(run_dir, key):
        return 0
    if attempt.failure():
        return 1
    job = slurm.look(job_id)
    if job is None or job.state != "RUNNING":
        return 1  # cancelled, or preempted and already in the queue again
    attempt.settle(saved_step(run_dir, fingerprint))
    if reason := given_up(run_dir, job_id):
        attempt.fail(reason)
        return 1
    unfit = attempt.unfit() | never_started(attempt)
    for node, why in unfit.items():
        print(f"{node} is excluded from now on: {why}", file=sys.stderr)
    print(f"job {job_id} is requeued; step {attempt.settled()} is saved", file=sys.stderr, flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent by SLURM when it requeues the job
    slurm.requeue(job_id, sorted(unfit))
    time.sleep(60)  # until SLURM kills this script: if it exited, the job would count as finished
    return 1


def saved_step(run_dir: Path, fingerprint: str) -> int:
    """Return the step of the last saved training state; -1 if there is none."""
    folder = state_folder(run_dir, fingerprint)
    return max((int(path.name[5:]) for path in folder.glob("step_*") if path.name[5:].isdigit()), default=-1)


def given_up(run_dir: Path, job_id: str) -> str | None:
    """Return why not to requeue the job, if its last `train.turns` attempts ended at the same step, else None."""
    limit = load(run_dir.parents[1]).train.turns
    steps = [attempt.settled() for attempt in Attempt.all(run_dir / "slurm", job_id)][-limit:]
    if len(steps) < limit or len(set(steps)) > 1:
        return None
    at = f"step {steps[-1]}" if steps[-1] != -1 else "the start"
    return (
        f"{limit} attempts of job {job_id} have ended without getting further than {at}; slurm/{job_id}_*_log.err "
        "beside config.json tells how each ended. An attempt must be long enough to start and to save once "
        "(config/site.yaml: train.minutes, train.warning_s)"
    )


def never_started(attempt: Attempt) -> dict[str, str]:
    """Return the nodes on which no process started, with a reason; none if no process started anywhere."""
    from submitit.slurm.slurm import SlurmJobEnvironment

    started = attempt.started()
    missing = [node for node in SlurmJobEnvironment().hostnames if node not in started] if started else []
    return dict.fromkeys(missing, "no process could start there; is the project's folder mounted on it?")


if __name__ == "__main__":
    sys.exit(settle(Path(sys.argv[1]), sys.argv[2], sys.argv[3], os.environ["SLURM_JOB_ID"]))
