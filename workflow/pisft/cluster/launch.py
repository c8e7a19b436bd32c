"""Trains an experiment as a SLURM job: finds or submits the job, follows it, and returns the result or raises why not.

Start from `train_in_job`. The job's name is derived from its run folder and key, so that a later command attaches to
the running job instead of submitting another. Requeueing after an interruption is done by the job itself
(`pisft.cluster.settle`), whether or not a command follows it.
"""

from __future__ import annotations

import csv
import os
import signal
import sys
from pathlib import Path

from pisft import slurm
from pisft.canonical import digest
from pisft.cluster.attempt import Attempt
from pisft.cluster.follow import follow
from pisft.cluster.settle import given_up, saved_step
from pisft.cluster.submit import repair, submit
from pisft.cluster.work import Work
from pisft.config.experiment import Resolved
from pisft.config.site import Site
from pisft.lease import held
from pisft.slurm import Job
from pisft.train.checkpoints.files import checkpoint_files, is_complete, state_folder
from pisft.train.errors import Interrupted, TrainingError
from pisft.train.monitoring.metrics import TIMING


def train_in_job(config: Resolved, root: Path, key: str, fingerprint: str, site: Site) -> list[Path]:
    """Return the files of the checkpoint of `config` below `root`, like `pisft.train.loop.train`.

    Raises `SlurmError` if SLURM refuses, `TrainingError` if the job failed or was cancelled, and `Interrupted` on
    SIGINT or SIGTERM to this process, which do not affect the job.
    """
    run_dir = root / f"results/{config.name}"
    before = _written(run_dir)
    if is_complete(run_dir, key, thorough=True):
        return checkpoint_files(run_dir)

    def done() -> bool:
        return _written(run_dir) != before and is_complete(run_dir, key)

    _leave_job()
    work = Work(root.resolve(), config.name, key, fingerprint, config.cluster.gpus_per_node if site.gpu else 0)
    jobs = run_dir / "slurm"
    jobs.mkdir(mode=0o700, parents=True, exist_ok=True)  # private, since submitit unpickles files from it
    with held(jobs / "lease.json"):  # so that two simultaneous commands submit one job
        job = _running(run_dir, key) or submit(work, config.cluster, site, jobs, _name(run_dir, key))
        repair(job, work, jobs)
    _tell(f"job {job.id}: logs are {_short(jobs)}/{job.id}_<rank>_log.err; scancel {job.id} ends it")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            job = follow(job, jobs, done, lambda: short_attempt(state_folder(run_dir, fingerprint), config, site))
            if is_complete(run_dir, key, thorough=True):
                return checkpoint_files(run_dir)
            _continue(job, run_dir, fingerprint)
    except KeyboardInterrupt:
        raise Interrupted(f"job {job.id} keeps running without this command; scancel {job.id} ends it") from None


def short_attempt(state: Path, config: Resolved, site: Site) -> str | None:
    """Return a warning if an attempt ends before a training state is saved to `state`, else None.

    None also if the speed is not known yet.
    """
    try:
        *_, row = csv.DictReader((state / TIMING).read_text().splitlines())
        seconds = config.train.global_batch_size / float(row["samples_per_s"])
    except (OSError, ValueError, KeyError):
        return None
    steps = int(site.train.minutes * 60 / seconds)
    if steps >= config.train.save_every:
        return None
    return (
        f"warning: train.save_every: found {config.train.save_every}, but an attempt of {site.train.minutes} minutes "
        f"has about {steps} steps: one that ends without SLURM's warning loses all of them; save more often, or give "
        "more time (config/site.yaml: train.minutes)"
    )


def _running(run_dir: Path, key: str) -> Job | None:
    """Return the job that makes the checkpoint; raises `TrainingError` if a job with another key uses `run_dir`."""
    for job in slurm.alive(_name(run_dir)):
        if job.name != _name(run_dir, key):
            raise TrainingError(
                f"{run_dir}: job {job.id} ({job.state}) trains it with an earlier configuration, code or data; "
                f"wait for it, or end it: scancel {job.id}"
            )
        _tell(f"job {job.id} trains this already: attached to it")
        return job
    return None


def _name(run_dir: Path, key: str | None = None) -> str:
    """Return `<exp>-<folder>-<key>`; without a key, the prefix that all jobs of the run share."""
    return f"{run_dir.name}-{digest(str(run_dir.resolve()))[:8]}-{(key or '')[:12]}"


def _continue(job: Job, run_dir: Path, fingerprint: str) -> None:
    """Requeue a job that ended without a result, or raise the reason why it ended."""
    jobs = run_dir / "slurm"
    attempts = Attempt.all(jobs, job.id)
    log = _short(jobs)
    if attempts and (failure := attempts[-1].failure()):
        where = ""
        if "rank" in failure:
            where = f"\n(rank {failure['rank']} on {failure['node']}: {log}/{job.id}_{failure['rank']}_log.out)"
        raise TrainingError(failure["message"] + where)
    if job.state.startswith("CANCELLED"):
        raise TrainingError(
            f"job {job.id} was cancelled; run the same command again to resume from the last saved state"
        )
    if job.state == "OUT_OF_MEMORY":
        raise TrainingError(f"job {job.id} ran out of memory; raise train.memory_gb in config/site.yaml")
    unseen = [] if attempts or (jobs / f"{job.id}_0_log.err").exists() else [job.first_node]
    if unseen and job.excluded:
        raise TrainingError(
            f"{jobs}: neither {job.excluded} nor {job.first_node} sees it; expected a folder on a disk that all nodes "
            "share: move the project there"
        )
    if attempts and attempts[-1].settled() is None:
        attempts[-1].settle(saved_step(run_dir, fingerprint))
    if reason := given_up(run_dir, job.id):
        raise TrainingError(reason)
    if unseen:
        _tell(f"{job.first_node} is excluded from now on: it does not see {jobs}")
    _tell(f"job {job.id} ended by {job.state}; it is requeued")
    slurm.requeue(job.id, unseen)


def _written(run_dir: Path) -> int:
    """Return the modification time of checkpoint.json in ns; 0 if it is missing."""
    try:
        return (run_dir / "checkpoint.json").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _leave_job() -> None:
    """Remove SLURM's variables: a job submitted inside a job would inherit the outer one's limits."""
    for name in [
        name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SRUN_")) and name != "SLURM_CONF"
    ]:
        del os.environ[name]


def _short(path: Path) -> Path:
    return Path(os.path.relpath(path))


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
