"""What `--profile slurm` says to Snakemake's SLURM executor, which runs all rules but training. Start from `read`."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Any

from pisft import slurm
from pisft.config.site import Job, Site, load
from pisft.errors import PisftError

CONVERT_GB = 20  # one copy of a π₀ in float32, and what reads it
WIDE = ("convert", "make_dataset", "make_frames", "norm_stats")  # rules that use as many processors as they get


def read() -> dict[str, Any]:
    """The profile of config/site.yaml.

    Ends the process with one message on a mistake in that file, and where SLURM would refuse its jobs, unless only a
    plan is asked for: Snakemake would begin, and say less.
    """
    planning = any(re.fullmatch(r"--dry-?run|-[a-zA-Z]*n", argument) for argument in sys.argv[1:])
    try:
        site = load()
        if not planning:
            try_out(site)
        return profile(site)
    except PisftError as error:
        sys.exit(f"error: {error}")


def try_out(site: Site) -> None:
    """Raise `SlurmError` where SLURM would refuse the jobs of `site`; nothing is submitted."""
    for job in (site.job, site.evaluate, site.train):
        asked = {
            "partition": job.partition or site.partition,
            "account": site.account,
            "qos": site.qos,
            "constraint": site.constraint,
        }
        flags = [f"--{name}={value}" for name, value in asked.items() if value is not None]
        slurm.ask("sbatch", "--test-only", *flags, *site.flags, f"--time={job.minutes}", "--wrap=true")


def profile(site: Site) -> dict[str, Any]:
    """Options of Snakemake, by name."""
    common = {
        "slurm_partition": site.partition,
        "slurm_account": site.account,
        "qos": site.qos,
        "constraint": site.constraint,
        "slurm_extra": " ".join(map(shlex.quote, site.flags)) or None,
    }
    gpu, _, kind = (site.gpu or "").partition(":")
    gpus = {"gpu": 1, "gpu_model": kind or None} if gpu else {"gpu": 0}
    return {
        "slurm-no-account": site.account is None,  # or it guesses one
        "default-resources": _said(common) | _said(_resources(site.job)),
        "set-resources": {
            "convert": {"mem_mb": int(max(site.job.memory_gb, CONVERT_GB) * 1024)},
            "evaluate": _said(_resources(site.evaluate) | gpus),
            "train": {"launcher": "slurm"},
        },
        "set-threads": dict.fromkeys(WIDE, site.job.cpus) | {"evaluate": site.evaluate.cpus, "train": 1},
    }


def _resources(job: Job) -> dict[str, Any]:
    # a bare number of a profile counts as seconds
    return {"slurm_partition": job.partition, "mem_mb": int(job.memory_gb * 1024), "runtime": f"{job.minutes}m"}


def _said(resources: dict[str, Any]) -> dict[str, Any]:
    """Without the silent ones; a string is quoted, since Snakemake takes resources for Python."""
    return {k: repr(v) if isinstance(v, str) else v for k, v in resources.items() if v is not None}
