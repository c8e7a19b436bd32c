"""Waits for a SLURM job and shows its progress here. Start from `follow`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

from pisft import slurm
from pisft.errors import PisftError
from pisft.slurm import HOPELESS, Job, SlurmError

LOOK_S = (1.0, 10.0)  # seconds between queries of SLURM: at first, and at most
PATIENCE = 3  # consecutive queries with a hopeless reason before giving up, since a reason may be temporary
AGAIN_S = 600.0  # seconds after which an unchanged place in the queue is printed again


def follow(job: Job, jobs: Path, done: Callable[[], bool], remark: Callable[[], str | None]) -> Job:
    """Wait until `job` ends or `done()` is true; returns the job as last seen.

    Meanwhile prints to stderr its place in the queue with the reason, and the log of rank 0. `remark` is called
    repeatedly until it returns a message, which is printed. A job that can never start is cancelled and raises
    `SlurmError`. If the controller does not answer, keeps waiting.
    """
    log = Log(jobs / f"{job.id}_0_log.err")
    standing, remarked, silent = News(AGAIN_S), News(), News()
    pause, hopeless = LOOK_S[0], 0
    while True:
        try:
            found = _look(job)
            silent.tell(None)
            standing.tell(_standing(found))
        except SlurmError as error:
            silent.tell(f"{error}; the job keeps running, and this command waits for SLURM to answer")
            found = job
        log.show()
        if remarked.line is None:
            remarked.tell(remark())
        hopeless = hopeless + 1 if found.pending and found.reason in HOPELESS else 0
        if hopeless == PATIENCE:
            slurm.cancel(job.id)
            why = f"{found.reason}: {HOPELESS[found.reason]}"
            raise slurm.refused(f"job {job.id}, now cancelled, would wait forever", why)
        if found.ended:
            time.sleep(LOOK_S[0])  # the last lines of the log may arrive late
            log.show()
            return found
        until = time.monotonic() + pause
        while time.monotonic() < until:
            time.sleep(LOOK_S[0])
            log.show()
            if done():
                return found
        pause = min(pause * 1.3, LOOK_S[1])


class News:
    """Prints a line to stderr if it differs from the previous one, or after `again_s` seconds."""

    def __init__(self, again_s: float = inf):
        self.again_s, self.line, self.at = again_s, None, 0.0

    def tell(self, line: str | None) -> None:
        """Print `line`; `None` prints nothing and resets the comparison, so that the next message always prints."""
        if line and (line != self.line or time.monotonic() - self.at > self.again_s):
            print(line, file=sys.stderr, flush=True)
            self.at = time.monotonic()
        self.line = line


class Log:
    """Prints a growing file. Skips what it held at the start, except for the last line."""

    def __init__(self, path: Path):
        self.path = path
        self.read = 0
        if path.exists():
            self.read = path.read_bytes().rstrip(b"\n").rfind(b"\n") + 1

    def show(self) -> None:
        """Write new content to stderr."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.read)
                new = file.read()
        except FileNotFoundError:
            return
        self.read += len(new)
        sys.stderr.write(new.decode(errors="replace"))
        sys.stderr.flush()


def _look(job: Job) -> Job:
    found = slurm.look(job.id)
    if found is None:
        raise PisftError(f"job {job.id}: SLURM no longer knows it; run the same command again")
    return found


def _standing(job: Job) -> str | None:
    if not job.pending or job.reason == "None":  # "None": not considered by the scheduler yet
        return None
    place, of = slurm.place(job)
    start = f"; SLURM expects to start it at {job.start}" if job.start[:1].isdigit() else ""
    return f"job {job.id} waits in partition {job.partition}, {place} of {of}: {job.reason}{start}"
