"""One writer at a time: a file that says who trains in a folder, with a heartbeat. Start from `held(folder)`.

A plain file made with O_EXCL, because flock is unreliable on shared filesystems. The heartbeat is the file's
modification time, compared with the clock of the filesystem itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from pisft.process import identity, is_dead
from pisft.train.errors import TrainingError

HEARTBEAT_S = 15.0
STALE_S = 300.0


@contextlib.contextmanager
def held(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold the lease on `folder`; yields a function that raises `TrainingError` if it was lost meanwhile.

    Raises `TrainingError` where another trainer holds it. That of a dead process on this machine, of a SLURM job that
    has ended or of an earlier turn of this job, or one without a heartbeat for `STALE_S`, is taken over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lease.json"
    owner = json.dumps(identity() | {"nonce": uuid.uuid4().hex}, sort_keys=True)
    _take(path, owner)

    def check() -> None:
        if _read(path) != owner:
            raise TrainingError(f"{path}: another trainer took over; this one stops and leaves its files alone")

    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                if _read(path) == owner:
                    os.utime(path)

    thread = threading.Thread(target=beat, daemon=True, name="lease")
    thread.start()
    try:
        yield check
    finally:
        stop.set()
        thread.join()
        if _read(path) == owner:
            path.unlink(missing_ok=True)


def _take(path: Path, owner: str) -> None:
    for _ in range(2):
        try:
            with open(path, "x") as file:
                file.write(owner)
            return
        except FileExistsError:
            _clear_stale(path)
    raise TrainingError(f"{path}: another trainer was faster; run the command again once it has ended")


def _clear_stale(path: Path) -> None:
    """Remove a stale lease; raises `TrainingError` for a live one."""
    holder = _read(path)
    try:
        age = _now(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return
    who = _parse(holder)
    if age < STALE_S and not is_dead(who):
        job = f", job {who['job']}" if who.get("job") else ""
        raise TrainingError(
            f"{path}: held by process {who.get('pid', '?')} on {who.get('host', '?')}{job}, last heard of "
            f"{max(0.0, age):.0f} s ago; wait for it or stop it (a dead one is taken over after {STALE_S:.0f} s)"
        )
    aside = path.with_name(f".lease.{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)
        if _read(aside) != holder:  # someone else was clearing too, and has taken the lease since
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _parse(holder: str | None) -> dict:
    try:
        who = json.loads(holder or "")
    except ValueError:
        return {}
    return who if isinstance(who, dict) else {}


def _now(folder: Path) -> float:
    """Now, by the clock that stamps files in `folder`."""
    probe = folder / f".clock.{uuid.uuid4().hex}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()
