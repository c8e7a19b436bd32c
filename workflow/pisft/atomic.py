"""Files and folders that appear whole or not at all, also when the process is killed or the power fails.

Start from `new_file` and `new_folder`. What is written is on disk (fsync) before it gets its name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yield a path to write a file to, which takes the place of `path` when the block ends without an error.

    Makes the folder; raises `OSError`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Yield a path to make a folder at, which takes the place of `final` when the block ends without an error.

    Otherwise `final` is as it was, be it a folder or a link to one. Raises `OSError`.
    """
    new, old = final.with_name(f".{final.name}.new"), final.with_name(f".{final.name}.old")
    try:
        for leftover in (new, old):
            remove(leftover)
        final.parent.mkdir(parents=True, exist_ok=True)
        yield new
        for folder, _, names in os.walk(new):
            for name in names:
                sync(Path(folder, name))
        if os.path.lexists(final):
            os.rename(final, old)
        try:
            os.rename(new, final)
        except OSError:
            if os.path.lexists(old):
                os.rename(old, final)
            raise
        sync(final.parent)
    finally:
        remove(new)
    remove(old)


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on disk; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(source: str | Path, target: str | Path) -> None:
    """Make `target` another name of the file `source`, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
