"""Stores a camera's images at the model's size, decoded once into one file that all experiments share.

`build` makes a store. `open_images` opens one, or, if there is none, decodes from the dataset: the pixels are the
same. A store is raw bytes, so that reading a frame is one read at a known offset.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pisft.canonical import file_facts, read_json, write_json
from pisft.data.errors import DataError
from pisft.data.lerobot.camera import Camera, open_camera
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.transforms.images import resize_with_pad
from pisft.verified import InBackground

GIB = 2**30
INDEX, PIXELS, PROGRESS, VERIFIED = "index.json", "pixels.u8", "progress.json", ".verified.json"
GROUP = 512  # frames decoded as one task; progress is saved after each


class Images(Protocol):
    """One camera of one dataset at one image size. Thread-safe."""

    def read(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Fill `out`, uint8 (n, 3, S, S), with the frames of dataset-wide numbers `rows` (n,)."""


class StoredImages:
    """Images from a frame store: one system call each, no decoding, no cache but the page cache."""

    def __init__(self, folder: Path, size: int):
        self.folder, self.size = folder, size
        self.bytes = 3 * size**2
        self._file = os.open(folder / PIXELS, os.O_RDONLY)
        self._verification: InBackground | None = None

    def __del__(self):
        if hasattr(self, "_file"):
            os.close(self._file)

    def fileno(self) -> int:
        """Return the file descriptor of the pixels."""
        return self._file

    def verify(self, sha256: str) -> None:
        """Start to compare the sha256 of the pixels with `sha256` in the background."""
        self._verification = InBackground({PIXELS: (self.folder / PIXELS, sha256)}, self.folder / VERIFIED)

    def check(self, wait: bool = False) -> None:
        """Raise `DataError` if the pixels were found damaged; with `wait`, once verification has finished."""
        if self._verification and (self._verification.wait() if wait else self._verification.result):
            raise DataError(
                f"{self.folder / PIXELS}: is damaged: its sha256 is not the one in {self.folder / INDEX}; no training "
                f"state that used it was saved: remove {self.folder} and run the same command again"
            )

    def read(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `Images.read`."""
        places = [int(row) * self.bytes for row in rows]
        for place in places:  # all in advance, so that the disk can queue the reads together
            os.posix_fadvise(self._file, place, self.bytes, os.POSIX_FADV_WILLNEED)
        for place, image in zip(places, out, strict=True):
            if os.preadv(self._file, [image], place) != self.bytes:
                raise DataError(f"a frame store ends before byte {place + self.bytes}; it was truncated: make it again")


class DecodedImages:
    """Images from the dataset's own files, decoded and resized at each read."""

    def __init__(self, data: LeRobotData, camera: str, size: int):
        open_camera(data, camera)
        self.data, self.camera, self.size = data, camera, size
        self._local = threading.local()

    def read(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `Images.read`."""
        camera: Camera | None = getattr(self._local, "camera", None)
        if camera is None:
            camera = self._local.camera = open_camera(self.data, self.camera)
        for place in np.argsort(rows, kind="stable"):  # so that each file is read forwards
            out[place] = resize_with_pad(camera.image(int(rows[place])), self.size).transpose(2, 0, 1)


def open_images(data: LeRobotData, camera: str, size: int, verify: bool = False) -> Images:
    """Open the frame store beside the dataset (`data/<dataset>/frames/`), or else decode on demand; raises `DataError`.

    With `verify`, the pixels of a store are hashed in the background: see `StoredImages.check`.
    """
    folder = store_folder(data.root, camera, size)
    index = _read(folder / INDEX)
    if index is None:
        return DecodedImages(data, camera, size)
    expected = _identity(data, camera, size)
    found = {key: index.get(key) for key in expected}
    found_size, expected_size = (folder / PIXELS).stat().st_size, data.num_frames * 3 * size**2
    if found != expected or found_size != expected_size or "pixels" not in index:
        raise DataError(
            f"{folder}: is a frame store of another state of the dataset, or damaged ({found_size} bytes, expected "
            f"{expected_size}); make it again (snakemake {folder / INDEX}) or delete it"
        )
    store = StoredImages(folder, size)
    if verify:
        store.verify(index["pixels"]["sha256"])
    return store


def store_folder(dataset_root: Path, camera: str, size: int) -> Path:
    """Return the folder of the store of `camera` at `size` pixels for the dataset in `data/<dataset>/lerobot`."""
    return dataset_root.parent / "frames" / f"{camera}.{size}"


def build(data: LeRobotData, camera: str, size: int, workers: int) -> Iterator[int]:
    """Make the store; yields the number of frames done from time to time. An interrupted build is resumed.

    Raises `DataError` before writing anything if the disk is too small, and for frames that cannot be read.
    """
    open_camera(data, camera)
    folder = store_folder(data.root, camera, size)
    identity = _identity(data, camera, size)
    total = data.num_frames * 3 * size**2
    progress = _read(folder / PROGRESS)
    if progress is None or progress.get("identity") != identity or not (folder / PIXELS).is_file():
        _check_space(folder, total, data)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with (folder / PIXELS).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, total)
        progress = {"identity": identity, "done": []}
        write_json(folder / PROGRESS, progress)
    (folder / INDEX).unlink(missing_ok=True)
    groups, done = _groups(data), set(progress["done"])
    yield sum(len(rows) for i, rows in enumerate(groups) if i in done)
    file = os.open(folder / PIXELS, os.O_WRONLY)
    executor = ThreadPoolExecutor(workers, "frames")
    waiting = iter([i for i in range(len(groups)) if i not in done])
    running: dict[Any, int] = {}
    try:
        while True:
            for i in waiting:
                running[executor.submit(_decode, data, camera, size, groups[i], file)] = i
                if len(running) > workers:
                    break
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                os.fdatasync(file)
                done.add(running.pop(future))
            write_json(folder / PROGRESS, {"identity": identity, "done": sorted(done)})
            yield sum(len(groups[i]) for i in done)
    finally:
        executor.shutdown(cancel_futures=True)
        os.close(file)
    write_json(folder / INDEX, identity | {"pixels": file_facts(folder / PIXELS)})
    (folder / PROGRESS).unlink()


def _decode(data: LeRobotData, camera: str, size: int, rows: Sequence[int], file: int) -> None:
    reader = open_camera(data, camera)
    try:
        for row, image in reader.read(rows):
            pixels = np.ascontiguousarray(resize_with_pad(image, size).transpose(2, 0, 1))
            os.pwrite(file, pixels, row * pixels.nbytes)
    finally:
        reader.close()


def _groups(data: LeRobotData) -> list[range]:
    """Split all frames into runs of whole episodes, of at most `GROUP` frames unless one episode is longer."""
    groups: list[range] = []
    for episode in range(data.num_episodes):
        rows = data.rows(episode)
        if groups and len(groups[-1]) + len(rows) <= GROUP:
            groups[-1] = range(groups[-1].start, rows.stop)
        else:
            groups.append(rows)
    return groups


def _identity(data: LeRobotData, camera: str, size: int) -> dict[str, Any]:
    """Describe what the store is made from: the dataset by its manifest's hash, the camera, the size.

    The software that decoded and resized is not part of it, so the index also has the hash of the pixels.
    """
    manifest = data.root.parent / "manifest.json"
    if not manifest.is_file():
        raise DataError(f"{manifest}: is missing; a frame store needs a dataset that rule make_dataset built")
    return {
        "camera": camera,
        "size": size,
        "frames": data.num_frames,
        "manifest": file_facts(manifest)["sha256"],
        "layout": "uint8 (frames, 3, size, size)",
    }


def _check_space(folder: Path, total: int, data: LeRobotData) -> None:
    place = next(parent for parent in folder.parents if parent.exists())
    free = shutil.disk_usage(place).free
    if folder.exists():
        free += sum(path.stat().st_size for path in folder.iterdir())
    if total > free:
        raise DataError(
            f"{folder}: needs {total / GIB:.1f} GiB for {data.num_frames:,} frames; {place} has {free / GIB:.1f} GiB "
            "left: free some, link data/ to a larger disk, or set cluster.frame_store: false to decode while training"
        )


def _read(path: Path) -> dict[str, Any] | None:
    return read_json(path, DataError, "delete it and make the store again") if path.exists() else None
