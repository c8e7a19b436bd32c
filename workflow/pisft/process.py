"""Identifies a process so that another one can later tell whether it is still alive. Start from `identity`."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shlex
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from pisft import slurm


def identity() -> dict[str, str | int]:
    """Return this process's host, pid, and what distinguishes it from others with the same pid."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "turn": os.environ.get("SLURM_RESTART_COUNT", "0"),
        "pid": pid,
        "processes": _processes(),
        "started": _started(pid),
    }


def is_dead(who: dict[str, Any]) -> bool:
    """Whether the process with the identity `who` is certainly dead; one on another machine counts as alive."""
    me = identity()
    if me["processes"] and who.get("processes") == me["processes"]:
        return _started(who["pid"]) != who["started"]
    if who.get("job") and who["job"] == me["job"]:
        return who.get("turn") != me["turn"]  # SLURM restarts a job only after all its processes have ended
    return bool(who.get("job")) and _has_ended(who["job"])


STARTED_BY = "PISFT_STARTED_BY"  # variable with the `identity` of the Snakemake that runs this process as a job


def started_by() -> str:
    """Return the assignment that a shell exports to tell a job that this process started it."""
    return f"{STARTED_BY}={shlex.quote(json.dumps(identity()))}"


def end_with_snakemake() -> None:
    """From now on, end when the Snakemake that started this process ends: by SIGTERM, and a minute later by SIGKILL.

    A Snakemake that is killed leaves its jobs behind, which would write to the same files as those of the next one.
    Jobs on other machines or in another SLURM job, and processes started by hand, are not affected.
    """
    with contextlib.suppress(ValueError, AttributeError):
        who, me = json.loads(os.environ.get(STARTED_BY, "")), identity()
        if me["processes"] and (who.get("processes"), who.get("job")) == (me["processes"], me["job"]):
            threading.Thread(target=_end_with, args=(who,), daemon=True, name="started by").start()


def _end_with(who: dict[str, Any]) -> None:
    while not is_dead(who):
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    os.kill(os.getpid(), signal.SIGKILL)


def end_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, for whatever reason."""
    with contextlib.suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _has_ended(job_id: str) -> bool:
    """Whether SLURM says that the job has ended; False outside the cluster, where it cannot be asked."""
    try:
        job = slurm.look(job_id)
    except slurm.SlurmError:
        return False
    return job is not None and job.ended


def _processes() -> str:
    """Return an id of the namespace of pids (this boot, this container); empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when process `pid` started, in ticks since boot, since pids are reused; empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
