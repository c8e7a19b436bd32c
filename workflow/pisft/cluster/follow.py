"""Shows a job as if it ran here. Start from `follow`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from pisft.cluster import queue
from pisft.cluster.queue import Job, SlurmError
from pisft.errors import PisftError

LOOK_S = (1.0, 10.0)  # how often SLURM is asked: at first, and after a while
AGAIN_S = 600.0  # how often an unchanged place in the queue is told


def follow(job: Job, jobs: Path, remark: Callable[[], str | None] = lambda: None) -> Job:
    """`job` when it has ended. Meanwhile, on stderr: where it stands in the queue and why, and its first process's log.

    `remark` is asked now and then for something to say, until it says it. Raises `SlurmError` for a job that can never start, which is then cancelled. A controller that does not answer is
    waited for.
    """
    log = Log(jobs / f"{job.id}_0_log.err")
    told, told_at, pause, silent, remarked = "", 0.0, LOOK_S[0], False, None
    while True:
        try:
            found = queue.look(job.id)
            if found is None:
                raise PisftError(f"job {job.id}: SLURM no longer knows it; run the same command again")
            line = _waiting(found) if found.pending else f"job {job.id} runs on {found.nodes}" if found.nodes else ""
            if line and (line != told or (found.pending and time.monotonic() - told_at > AGAIN_S)):
                print(line, file=sys.stderr, flush=True)
                told, told_at = line, time.monotonic()
            silent = False
        except SlurmError as error:
            if not silent:
                print(f"{error}; the job goes on without, and this command waits", file=sys.stderr, flush=True)
            silent, found = True, job
        log.show()
        if remarked is None and (remarked := remark()):
            print(remarked, file=sys.stderr, flush=True)
        if found.reason in queue.HOPELESS and found.pending:
            queue.cancel(job.id)
            raise queue.refused(f"job {job.id}, now cancelled, would wait for ever", _words(found.reason))
        if found.ended:
            time.sleep(LOOK_S[0])
            log.show()
            return found
        until = time.monotonic() + pause
        while time.monotonic() < until:
            time.sleep(min(1.0, pause))
            log.show()
        pause = min(pause * 1.3, LOOK_S[1])


class Log:
    """A file that grows. What it held before is passed over, but for its last line."""

    def __init__(self, path: Path):
        self.path = path
        self.read = 0
        if path.exists():
            self.read = path.read_bytes().rstrip(b"\n").rfind(b"\n") + 1

    def show(self) -> None:
        """Write what is new to stderr."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.read)
                new = file.read()
        except FileNotFoundError:
            return
        self.read += len(new)
        sys.stderr.write(new.decode(errors="replace"))
        sys.stderr.flush()


def _waiting(job: Job) -> str:
    if job.reason == "None":  # not looked at yet
        return ""
    place, of = queue.place(job)
    start = f"; SLURM expects to start it at {job.start}" if job.start[:1].isdigit() else ""
    return f"job {job.id} waits in partition {job.partition}, {place} of {of}: {job.reason}{start}"


def _words(reason: str) -> str:
    words = {
        "PartitionTimeLimit": "its time limit is above the partition's",
        "PartitionNodeLimit": "its node count is above the partition's",
        "BadConstraints": "no node can ever have what is asked for: node configuration is not available",
        "AccountNotAllowed": "invalid account for this partition",
        "InvalidAccount": "invalid account",
        "InvalidQOS": "invalid qos",
        "QOSNotAllowed": "invalid qos for this partition",
    }
    return f"{reason}: {words.get(reason, reason)}"
