"""Ensures one writer at a time by a file that names who builds an artefact, with a heartbeat. Start from `held(path)`.

A plain file made with O_EXCL, because flock is unreliable on shared filesystems. The heartbeat is the file's
modification time, compared with the clock of the filesystem itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from pisft.errors import PisftError
from pisft.process import identity, is_dead

HEARTBEAT_S = 15.0
STALE_S = 300.0
PATIENCE_S = 30.0  # to wait for a job whose Snakemake was killed to end


class LeaseError(PisftError):
    """Another process holds the lease."""


@contextlib.contextmanager
def held(path: Path, patience_s: float = 0.0) -> Iterator[Callable[[], None]]:
    """Hold the lease `path`; yields a function that raises `LeaseError` if the lease was lost meanwhile.

    Raises `LeaseError` if another process holds it and does not end within `patience_s`. The lease of a dead process on
    this machine, of a SLURM job that has ended or an earlier attempt of this job, or one without a heartbeat for
    `STALE_S`, is taken over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = json.dumps(identity() | {"nonce": uuid.uuid4().hex}, sort_keys=True)
    _wait(path, owner, patience_s)

    def check() -> None:
        if _read(path) != owner:
            raise LeaseError(f"{path}: another process took over; this one stops and leaves its files alone")

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


def _wait(path: Path, owner: str, patience_s: float) -> None:
    end, told = time.monotonic() + patience_s, False
    while True:
        try:
            return _take(path, owner)
        except LeaseError as error:
            if time.monotonic() >= end:
                raise
            if not told:
                print(f"waiting for an earlier job to end: {error}", file=sys.stderr, flush=True)
            told = True
            time.sleep(0.5)


def _take(path: Path, owner: str) -> None:
    for _ in range(2):
        try:
            with open(path, "x") as file:
                file.write(owner)
            return
        except FileExistsError:
            _clear_stale(path)
    raise LeaseError(f"{path}: another process took it first; run the command again when that one has ended")


def _clear_stale(path: Path) -> None:
    """Remove a stale lease; raises `LeaseError` for a live one."""
    holder = _read(path)
    try:
        age = _now(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return
    who = _parse(holder)
    if age < STALE_S and not is_dead(who):
        job = f", job {who['job']}" if who.get("job") else ""
        raise LeaseError(
            f"{path}: held by process {who.get('pid', '?')} on {who.get('host', '?')}{job}, which still writes, "
            f"last renewed {max(0.0, age):.0f} s ago; wait for it or stop it (a dead one is taken over, after "
            f"{STALE_S:.0f} s at the latest)"
        )
    aside = path.with_name(f".lease.{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)
        if _read(aside) != holder:  # another process also cleared it and has since taken the lease
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
    """Return the present time by the clock that stamps files in `folder`."""
    probe = folder / f".clock.{uuid.uuid4().hex}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()
