"""The profile that `--profile slurm` gives Snakemake's SLURM executor (all rules but training). Start from `read`."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Any

from pisft import slurm
from pisft.config.site import Job, Site, load
from pisft.errors import PisftError

CONVERT_GB = 20  # one copy of a π₀ in float32, and the process that reads it
WIDE = ("convert", "make_dataset", "make_frames", "norm_stats")  # rules that use all processors they get


def read() -> dict[str, Any]:
    """Return the profile made from config/site.yaml.

    Exits with one message if that file has a mistake or SLURM would refuse its jobs, since Snakemake would start and
    report less. A dry run does not ask SLURM.
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
    """Raise `SlurmError` if SLURM would refuse the jobs of `site`; nothing is submitted."""
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
    """Return Snakemake's options, by name."""
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
        "slurm-no-account": site.account is None,  # otherwise the executor guesses one
        "default-resources": _said(common) | _said(_resources(site.job)),
        "set-resources": {
            "convert": {"mem_mb": int(max(site.job.memory_gb, CONVERT_GB) * 1024)},
            "evaluate": _said(_resources(site.evaluate) | gpus),
            "train": {"launcher": "slurm"},
        },
        "set-threads": dict.fromkeys(WIDE, site.job.cpus) | {"evaluate": site.evaluate.cpus, "train": 1},
    }


def _resources(job: Job) -> dict[str, Any]:
    # with a unit, because a bare number in a profile is read as seconds
    return {"slurm_partition": job.partition, "mem_mb": int(job.memory_gb * 1024), "runtime": f"{job.minutes}m"}


def _said(resources: dict[str, Any]) -> dict[str, Any]:
    """Drop None values and quote strings, since Snakemake evaluates resources as Python."""
    return {k: repr(v) if isinstance(v, str) else v for k, v in resources.items() if v is not None}
