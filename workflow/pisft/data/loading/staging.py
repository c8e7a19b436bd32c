"""Copies frame stores to a node's own disk, once, for all jobs of that node. Start from `staged`.

A copy is named by the hash of the store's index, which holds the hash of the pixels: a store that is made again gets
another copy. Locks use flock, which works on a local disk and is released when a process dies: an exclusive one on the
folder of all copies for whoever changes it, and one on each copy, shared by its readers.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pisft.data.errors import DataError
from pisft.data.loading.frame_store import GIB, INDEX, PIXELS, Images, StoredImages
from pisft.progress import bar

FOLDER = "pisft-frames"
PART = ".part"  # suffix of an unfinished copy
MIB = 2**20
CHUNK = 4 * MIB


def staged(images: Images, local_disk: Path | None) -> Images:
    """Return `images` read from a copy of their frame store below `local_disk`, or unchanged if it is None.

    One process of the node copies, from any job, and the others wait for it. If the disk cannot take the copy, a
    warning is printed and images are read from the original. Copies stay for later jobs; the site is responsible for
    cleaning the disk. Only when another copy needs the space, unused ones are removed, least recently opened first.
    Raises `DataError` if the pixels do not match the hash in the store's index.
    """
    if local_disk is None or not isinstance(images, StoredImages):
        return images
    root = local_disk / FOLDER
    try:
        if "$" in str(local_disk):
            raise OSError(errno.ENOENT, "a variable in its name is not set")
        local_disk.mkdir(exist_ok=True)  # not its parents: if the disk is not mounted, they would be made on another
        root.mkdir(mode=0o700, exist_ok=True)
        if root.stat().st_uid != os.getuid():
            raise OSError(errno.EPERM, "it belongs to another user")
        index = (images.folder / INDEX).read_bytes()
        place = root / hashlib.sha256(index).hexdigest()
        copy = _opened(place, images)
        if copy is None:
            with _alone(root):
                copy = _opened(place, images)  # another process may have made it meanwhile
                if copy is None:
                    _make(place, images.folder, index)
                    copy = _opened(place, images)
        return copy or images
    except OSError as error:
        needed = os.fstat(images.fileno()).st_size / GIB
        disk = next(folder for folder in (root, *root.absolute().parents) if os.path.exists(folder))
        _say(
            f"{root}: cannot take a copy of {images.folder} ({error.strerror or error}): it needs {needed:.1f} GiB, "
            f"{shutil.disk_usage(disk).free / GIB:.1f} GiB are free; training reads the original. Make room, or "
            "name another folder (local_disk in config/site.yaml)"
        )
        return images


def _opened(place: Path, original: StoredImages) -> StoredImages | None:
    """Open the copy `place`, which protects it from removal; None if it is missing or incomplete."""
    try:
        copy = StoredImages(place, original.size)
        fcntl.flock(copy, fcntl.LOCK_SH)
        os.utime(place)  # marks it as used; raises if it was removed before it was locked
    except FileNotFoundError:
        return None
    return copy if os.fstat(copy.fileno()).st_size == os.fstat(original.fileno()).st_size else None


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the node's exclusive lock on the folder of copies while in the context."""
    folder = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"{root}: waiting for another process, which copies a frame store")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _make(place: Path, store: Path, index: bytes) -> None:
    """Copy `store` to `place` through a temporary folder, so that no partial copy is ever opened."""
    root, facts = place.parent, json.loads(index)["pixels"]
    for left in [place, *root.glob(f"*{PART}")]:  # an incomplete copy, and leftovers of processes that died
        shutil.rmtree(left, ignore_errors=True)
    _make_room(root, facts["size"])
    part = Path(tempfile.mkdtemp(PART, dir=root))
    try:
        if _copy(store / PIXELS, part / PIXELS, facts["size"]) != facts["sha256"]:
            raise DataError(
                f"{store / PIXELS}: is damaged: its sha256 is not the one in {INDEX}; make it again "
                f"(snakemake {store / INDEX}) or delete {store}"
            )
        (part / INDEX).write_bytes(index)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _copy(source: Path, target: Path, size: int) -> str:
    """Copy the file and fsync it; returns the sha256 of what was read."""
    digest = hashlib.sha256()
    name = f"{source.parents[2].name} {source.parent.name} to {target.parents[1]}"
    with source.open("rb") as reading, target.open("wb") as writing, bar(size // MIB, name, "MiB") as progress:
        os.posix_fallocate(writing.fileno(), 0, size)
        while chunk := reading.read(CHUNK):
            # read the next chunks ahead while this one is hashed and written
            os.posix_fadvise(reading.fileno(), reading.tell(), 4 * CHUNK, os.POSIX_FADV_WILLNEED)
            writing.write(chunk)
            digest.update(chunk)
            progress.update(writing.tell() // MIB - progress.n)
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def _make_room(root: Path, needed: int) -> None:
    """Remove copies that no process reads, least recently opened first, until `needed` bytes are free.

    Raises `OSError` and removes nothing if removing all of them would not suffice.
    """
    with contextlib.ExitStack() as locks:
        idle = []
        for pixels in sorted(root.glob(f"*/{PIXELS}"), key=lambda path: path.parent.stat().st_mtime_ns):
            file = locks.enter_context(pixels.open("rb"))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                idle.append(file)
        if shutil.disk_usage(root).free + sum(os.fstat(file.fileno()).st_size for file in idle) < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for file in idle:
            if shutil.disk_usage(root).free >= needed:
                break
            shutil.rmtree(Path(file.name).parent)
            file.close()  # the space is freed only now


def _say(text: str) -> None:
    """Print `text` once per node: only in the process with LOCAL_RANK 0."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(text, file=sys.stderr, flush=True)
