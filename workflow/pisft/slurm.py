"""Queries SLURM by its own commands, and passes on its messages. Start from `look`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from pisft.errors import PisftError

NODES = "sinfo --Node --format '%N %c %m %G' lists the nodes' processors, MB and GPUs"
ASKED = "cluster: of the experiment and train: of config/site.yaml say what is asked for"
YOURS = "sacctmgr show associations user=$USER lists yours"
HINTS = {
    r"[Mm]unge|authentication": "munged does not answer on this machine; start it (systemctl start munge)",
    r"[Ii]nvalid partition": "config/site.yaml: partition; sinfo --summarize lists them",
    r"[Ii]nvalid account": f"config/site.yaml: account; {YOURS}",
    r"[Ii]nvalid qos": f"config/site.yaml: qos; {YOURS}",
    r"[Rr]eservation|option": "config/site.yaml: flags",
    r"[Ii]nvalid feature": "config/site.yaml: constraint; sinfo --format '%P %f' lists the features",
    r"generic resource|gres": f"config/site.yaml: gpu; {NODES}",
    r"cannot give|node configuration|[Nn]ode count|CPU count|[Mm]emory|More processors": f"{ASKED}; {NODES}",
    r"[Tt]ime limit": "config/site.yaml: minutes; sinfo --summarize lists each partition's limit",
    r"contact|[Cc]onnection|timed out": "the controller, or munged here, does not answer; scontrol ping tells more",
}
# Reasons for which a pending job waits forever, and what they mean.
HOPELESS = {
    "AccountNotAllowed": "invalid account for this partition",
    "BadConstraints": "no node configuration is as asked for",
    "InvalidAccount": "invalid account",
    "InvalidQOS": "invalid qos",
    "PartitionConfig": "the partition's nodes cannot give what is asked for",
    "PartitionNodeLimit": "its node count is above the partition's",
    "PartitionTimeLimit": "its time limit is above the partition's",
    "QOSNotAllowed": "invalid qos for this partition",
}
PENDING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
RUNNING = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}


class SlurmError(PisftError):
    """SLURM refused; the text has its message and what to do."""


@dataclass(frozen=True)
class Job:
    """A job in SLURM's queue; `alive` looks it up by `name`."""

    id: str
    name: str
    state: str
    reason: str = ""
    partition: str = ""
    start: str = ""
    nodes: str = ""
    first_node: str = ""
    excluded: str = ""

    @property
    def pending(self) -> bool:
        """Whether it waits to start."""
        return self.state in PENDING

    @property
    def ended(self) -> bool:
        """Whether it has ended, and will not continue by itself."""
        return self.state not in PENDING | RUNNING


FORMAT = "%i|%j|%T|%r|%P|%S|%N|%B|%x"


def ask(*command: str, timeout_s: float = 20) -> str:
    """Return what `command` prints; raises `SlurmError` if it fails, is missing, or does not answer in time."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except FileNotFoundError:
        raise SlurmError(
            f"{command[0]}, SLURM's command, is not on the PATH: this machine cannot submit; run it on a login node of "
            "the cluster, or without --profile slurm (by hand: --launcher local) to train here"
        ) from None
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace")  # the error after which it kept retrying
        raise refused(command[0], f"{said} timed out") from None
    if done.returncode:
        raise refused(command[0], done.stderr or done.stdout)
    return done.stdout


def refused(command: str, words: str) -> SlurmError:
    """Return the error for SLURM's message on `command`, with the remedy that fits."""
    words = " ".join(words.split())
    hint = next((hint for pattern, hint in HINTS.items() if re.search(pattern, words)), ASKED)
    return SlurmError(f"{command}: SLURM says: {words}; {hint}")


def alive(name: str) -> list[Job]:
    """Return this user's pending and running jobs whose names start with `name`."""
    return [job for job in _squeue("--me") if job.name.startswith(name) and not job.ended]


def look(job_id: str) -> Job | None:
    """Return the job, ended or not; None if neither the queue nor the accounting knows it."""
    try:
        found = _squeue("--states=all", f"--jobs={job_id}")
    except SlurmError as error:
        if "Invalid job id" not in str(error):
            raise
        found = []
    return found[0] if found else _remembered(job_id)


def place(job: Job) -> tuple[int, int]:
    """Return (place, number) of the pending `job` among those waiting for its partition, highest priority first."""
    waiting = ask(
        "squeue", "--noheader", "--states=PENDING", f"--partition={job.partition}", "--sort=-p,i", "--format=%i"
    ).split()
    return (waiting.index(job.id) + 1 if job.id in waiting else len(waiting)), len(waiting)


def cancel(job_id: str) -> None:
    """Cancel the job, pending or running."""
    ask("scancel", job_id)


def requeue(job_id: str, exclude: Sequence[str] = ()) -> None:
    """Requeue the job, running or ended; it will avoid the nodes `exclude`."""
    before = look(job_id)
    ask("scontrol", "requeue", job_id)
    if exclude:
        nodes = [*(before.excluded.split(",") if before and before.excluded else []), *exclude]
        ask("scontrol", "update", f"JobId={job_id}", f"ExcNodeList={','.join(dict.fromkeys(nodes))}")


def _squeue(*which: str) -> list[Job]:
    lines = ask("squeue", "--noheader", f"--format={FORMAT}", *which).splitlines()
    return [
        Job(*(part.strip().replace("(null)", "").replace("n/a", "") for part in line.split("|")))
        for line in lines
        if line.strip()
    ]


def _remembered(job_id: str) -> Job | None:
    try:
        lines = ask("sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={job_id}", "--format=JobName,State")
    except SlurmError:
        return None  # a cluster without accounting
    if not lines.strip():
        return None
    name, _, state = lines.splitlines()[-1].rpartition("|")
    return Job(job_id, name, state.split()[0])
