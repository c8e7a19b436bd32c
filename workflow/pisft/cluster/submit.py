"""Submits a training job to SLURM through submitit. Start from `submit`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission, FailedJobError, JobPaths

from pisft import slurm
from pisft.cluster.work import Work
from pisft.config.site import Site
from pisft.config.train import Cluster
from pisft.slurm import Job


def submit(work: Work, cluster: Cluster, site: Site, folder: Path, name: str) -> Job:
    """Submit the job `name`: num_nodes × gpus processes that run `work`, with scripts and logs in `folder`.

    Raises `SlurmError` with SLURM's message if it is refused.
    """
    python = shlex.quote(sys.executable) if site.container is None else f"{site.container} python"
    executor = SlurmExecutor(folder, python=python)
    executor.update_parameters(**_parameters(work, cluster, site, name))
    try:
        submitted = executor.submit(work)
    except FailedJobError as error:
        raise slurm.refused("sbatch", str(error)) from None
    return Job(submitted.job_id, name, "PENDING")


def repair(job: Job, work: Work, folder: Path) -> None:
    """Write the file that the processes of `job` read, if the command that submitted it died before that."""
    paths = JobPaths(folder, job.id)
    if not paths.submitted_pickle.exists():
        submission = DelayedSubmission(work)
        submission.set_timeout(1, 0)
        submission.dump(paths.submitted_pickle)


def _parameters(work: Work, cluster: Cluster, site: Site, name: str) -> dict[str, Any]:
    """Return the parameters of submitit's executor; the script's last command is `pisft.cluster.settle`."""
    train, processes = site.train, cluster.gpus_per_node
    parts = [flag.removeprefix("--").partition("=") for flag in site.flags]
    flags = {name: value for name, _, value in parts}
    run_dir = work.root / f"results/{work.name}"
    settle = [sys.executable, "-m", "pisft.cluster.settle", str(run_dir), work.key, work.fingerprint]
    parameters = {
        "job_name": name,
        "partition": train.partition or site.partition,
        "account": site.account,
        "qos": site.qos,
        "constraint": site.constraint,
        "time": train.minutes,
        "nodes": cluster.num_nodes,
        "ntasks_per_node": processes,
        "cpus_per_task": train.cpus,
        "mem": f"{int(train.memory_gb * processes * 1024)}M",
        "gres": f"{site.gpu}:{processes}" if site.gpu else None,
        "signal_delay_s": train.warning_s,
        "wckey": None,
        "setup": [f"cd {shlex.quote(str(work.root))}", *site.setup],
        "teardown": [shlex.join(settle)],
        # newer versions of srun do not inherit --cpus-per-task from sbatch
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={train.cpus}"],
        "additional_parameters": {"requeue": True} | {flag: value or True for flag, value in flags.items()},
    }
    return {key: value for key, value in parameters.items() if value is not None or key == "wckey"}
