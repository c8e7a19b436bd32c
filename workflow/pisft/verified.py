"""Checks that files have not changed, without hashing them each time. Start from `first_damaged`.

A file is hashed once a machine; after that it is looked at: one that nobody touched has the size, times and number that
it had. What was seen is noted in a file, which may be lost or damaged: then all are hashed again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pisft.canonical import file_facts, read_json, write_json
from pisft.errors import PisftError


def first_damaged(files: Mapping[str, tuple[Path, str]], notes: Path) -> tuple[str, str | None] | None:
    """The first of `files`, name → (path, sha256), that is not what it was, and its sha256 now (None: it is missing).

    None where all are. What was seen is written to `notes`, where that may be written.
    """
    known, seen, damaged, mark = read_notes(notes), {}, None, None
    for name, (path, sha256) in files.items():
        try:
            facts = path.stat()
            mark = [sha256, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
            found = sha256 if known.get(name) == mark else file_facts(path)["sha256"]
        except OSError:
            found = None
        if found != sha256:
            damaged = damaged or (name, found)
        else:
            seen[name] = mark
    if known | seen != known:
        with contextlib.suppress(OSError):  # somebody else's data folder may not be ours to write
            write_json(notes, known | seen)
    return damaged


def listed(folder: Path) -> Path:
    """Return the file beside saved weights that lists the size and sha256 of each of their files."""
    return folder.with_name(f"{folder.name}.json")


class InBackground:
    """`first_damaged` in a thread that takes what time others leave, of files that are too large to wait for; `result`
    is its answer so far."""

    def __init__(self, files: Mapping[str, tuple[Path, str]], notes: Path):
        self.result: tuple[str, str | None] | None = None
        self._thread = threading.Thread(target=self._run, args=(files, notes), daemon=True, name="verify")
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether there is more to look at."""
        return self._thread.is_alive()

    def wait(self) -> tuple[str, str | None] | None:
        """Its answer, when all has been looked at."""
        self._thread.join()
        return self.result

    def _run(self, files: Mapping[str, tuple[Path, str]], notes: Path) -> None:
        with contextlib.suppress(OSError, AttributeError):  # Linux alone has priorities of threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        self.result = first_damaged(files, notes)


def read_notes(path: Path) -> dict[str, Any]:
    """What a file of this machine's notes holds, which may be lost or damaged: then nothing."""
    try:
        return read_json(path)
    except PisftError:
        return {}
