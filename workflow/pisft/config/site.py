"""`config/site.yaml`: settings that belong to the cluster, not to an experiment. Not part of any key.

Start from `load`. `prefix` gives the shell lines before a job's command. `pisft.cluster` builds jobs from it.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from pisft.config.base import Strict, load_yaml, parse

PATH = "config/site.yaml"
# Set by keys of their own or by the launcher: of two values, one would silently win.
TAKEN = {
    "account", "chdir", "comment", "constraint", "cpus-per-gpu", "cpus-per-task", "error", "export", "gpus",
    "gpus-per-node", "gres", "job-name", "mem", "mem-per-cpu", "nodes", "ntasks", "ntasks-per-gpu", "ntasks-per-node",
    "open-mode", "output", "parsable", "partition", "qos", "requeue", "signal", "time",
}  # fmt: skip


class Job(Strict):
    """Resources of a job of any rule but training."""

    partition: str | None = Field(default=None, description="null for the one above")
    minutes: PositiveInt = Field(default=60, description="wall-clock limit")
    memory_gb: PositiveFloat = 8
    cpus: PositiveInt = Field(default=8, description="of a job that can use many; others take fewer")


class Evaluation(Job):
    """The same for evaluation, which has one GPU and many simulators."""

    minutes: PositiveInt = 480
    memory_gb: PositiveFloat = 32
    cpus: PositiveInt = 16


class TrainJob(Strict):
    """Resources and limits of a training job."""

    partition: str | None = Field(default=None, description="null for the one above")
    minutes: PositiveInt = Field(default=1440, description="wall-clock limit of one attempt")
    memory_gb: PositiveFloat = Field(default=24, description="for each process (one per GPU)")
    cpus: PositiveInt = Field(default=4, description="for each process")
    warning_s: PositiveInt = Field(
        default=120,
        description="SLURM warns this long before it ends a job, which then finishes the step, saves and is requeued",
    )
    timeout_s: PositiveInt = Field(
        default=1200,
        description="a process that gets no answer from the others for this long ends, and the job is requeued",
    )
    turns: PositiveInt = Field(default=5, description="attempts without progress after which a job is given up")
    free_gb: NonNegativeInt = Field(default=1, description="a node with less space on the project's disk is excluded")


class Site(Strict):
    """The cluster at hand; SLURM's own defaults where a key is null."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = Field(default=None, description="features that a node must have")
    gpu: str | None = Field(
        default="gpu",
        pattern="^gpu(:[A-Za-z0-9_.]+)?$",
        description="as SLURM names it, such as gpu:h100; null: none are asked for",
    )
    flags: list[str] = Field(
        default=[], description="further flags of sbatch, each --name=value, such as --reservation=robots"
    )
    setup: list[str] = Field(
        default=[], description="shell lines that a job starts with, such as module load or NCCL's variables"
    )
    container: str | None = Field(
        default=None, description="the command before python in a job, such as apptainer exec --nv pi-sft.sif"
    )
    local_disk: str | None = Field(
        default=None,
        description="a folder on each node's own disk, such as $TMPDIR, to which training copies frame stores",
    )
    job: Job = Job()
    evaluate: Evaluation = Evaluation()
    train: TrainJob = TrainJob()

    @field_validator("flags")
    @classmethod
    def _own_flags(cls, value: list[str]) -> list[str]:
        for flag in value:
            name = flag.removeprefix("--").partition("=")[0]
            if not flag.startswith("--") or " " in name:
                raise ValueError(f"{flag!r} is not of the form --name=value")
            if name in TAKEN:
                raise ValueError(f"--{name} has a key of its own, here or in an experiment's cluster")
        return value

    @property
    def disk(self) -> Path | None:
        """`local_disk` with this node's environment variables expanded."""
        return None if self.local_disk is None else Path(os.path.expandvars(self.local_disk)).expanduser()


def load(root: str | Path = ".") -> Site:
    """Read `config/site.yaml` below `root`; all defaults if it is empty or missing. Raises `ConfigError`."""
    path = Path(root) / PATH
    return parse(load_yaml(path) or {}, Site, path) if path.is_file() else Site()


def prefix(site: Site) -> str:
    """Return the shell lines before a rule's command inside a SLURM job; `python` is then the container's.

    Braces are doubled, since Snakemake would interpret them.
    """
    if "SLURM_JOB_ID" not in os.environ:
        return ""
    lines = list(site.setup)
    if site.container is not None:
        lines.append(f'python() {{ {site.container} python "$@"; }}')
    return "".join(f"{line}\n" for line in lines).replace("{", "{{").replace("}", "}}")
