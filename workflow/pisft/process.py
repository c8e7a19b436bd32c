"""Who a process is, written down so that another one can tell later whether it still lives. Start from `identity`."""

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
    """This process: host, pid, and what tells it from others with the same."""
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
    """Whether the process with the identity `who` certainly is; one on another machine may live."""
    me = identity()
    if me["processes"] and who.get("processes") == me["processes"]:
        return _started(who["pid"]) != who["started"]
    if who.get("job") and who["job"] == me["job"]:
        return who.get("turn") != me["turn"]  # SLURM starts a job anew when nothing of it runs any more
    return bool(who.get("job")) and _has_ended(who["job"])


STARTED_BY = "PISFT_STARTED_BY"  # variable: the `identity` of the Snakemake that this process is a job of


def started_by() -> str:
    """What a shell exports, so that a job knows that this process has started it."""
    return f"{STARTED_BY}={shlex.quote(json.dumps(identity()))}"


def end_with_snakemake() -> None:
    """From now on, end when the Snakemake that started this process has: as on SIGTERM, after a minute at once.

    A Snakemake that is killed leaves its jobs behind, which would write beside those of the next one. Jobs that a
    cluster runs go on; so does what a person starts by hand.
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
    """Ask the kernel to kill this process when its parent ends, however that does."""
    with contextlib.suppress(AttributeError, OSError):  # another system
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _has_ended(job_id: str) -> bool:
    """Whether SLURM says so; a process outside the cluster cannot ask."""
    try:
        job = slurm.look(job_id)
    except slurm.SlurmError:
        return False
    return job is not None and job.ended


def _processes() -> str:
    """The space in which a pid has a meaning (this boot, this container); empty where unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When process `pid` started, in ticks since boot; empty where there is none. Numbers are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
