"""Converts LeRobot v2.0 and v2.1 datasets to v3.0, by lerobot's own converter; the original is only read.

Start from `convert`, or from `vectors_of` for statistics. The converter reads what `restate` makes of the original: its
episodes, numbered from 0, with totals and statistics computed from their vectors. Statistics of images are left out,
since nothing here reads them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pisft.atomic import new_folder
from pisft.canonical import read_json, write_json
from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.info import read_info
from pisft.data.lerobot.joining import any_path, apart
from pisft.data.lerobot.reproducible import same_bytes
from pisft.data.lerobot.v21 import Restated, restate
from pisft.data.sources.manifest import describe

OLD = ("v2.0", "v2.1")


def version(root: Path) -> str:
    """Return the `codebase_version` of a dataset folder; raises `DataError`."""
    return read_info(root).version


def convert(original: Path, root: Path) -> dict[str, Any]:
    """Write the v3.0 version of `original` to `root`, atomically; returns facts for the manifest.

    Needs no network. Raises `DataError` if the converter cannot read the original.
    """
    work = root.with_name(".converting")
    shutil.rmtree(work, ignore_errors=True)
    shadow = work / "dataset"
    try:
        with _named(original, shadow):
            restated = _convert(original, shadow, work / "cache")
            _check_pieces(LeRobotData(shadow))
        with new_folder(root) as new:
            os.rename(shadow, new)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    listing = sorted((name, facts.sha256) for name, facts in describe(original).items())
    digest = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    facts: dict[str, Any] = {"converted_from": version(original), "original": digest}
    if restated.numbers != list(range(len(restated.numbers))):
        facts["episodes_were"] = restated.numbers
    return facts


@contextlib.contextmanager
def vectors_of(folder: Path) -> Iterator[LeRobotData]:
    """Yield the dataset at `folder` to read its vectors; for v2, a temporary v3.0 version without cameras.

    Raises `DataError`.
    """
    if version(folder) not in OLD:
        yield LeRobotData(folder)
        return
    with tempfile.TemporaryDirectory(prefix="pisft-") as work:
        shadow = Path(work) / "dataset"
        with _named(folder, shadow):
            _convert(folder, shadow, Path(work) / "cache", cameras=False)
            yield LeRobotData(shadow)


@contextlib.contextmanager
def _named(original: Path, shadow: Path) -> Iterator[None]:
    """Replace `shadow`, a temporary folder, by `original` in the messages of `DataError`."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace(str(shadow), str(original))) from error


def _convert(original: Path, shadow: Path, cache: Path, cameras: bool = True) -> Restated:
    """Make `shadow` the v3.0 version of `original`."""
    found = version(original)
    try:
        restated = restate(original, shadow, cameras)
        _run_converter(shadow, cache, restated.apart)
        _keep_fps(original, shadow)
        same_bytes(shadow)
        return restated
    except Exception as error:  # the converter and its libraries raise a dozen types for irregular metadata
        if isinstance(error, DataError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        reason = " ".join(str(error).split()).replace(str(shadow), str(original))
        raise DataError(
            f"{original}: a LeRobot {found} dataset that lerobot's converter to v3.0 cannot read "
            f"({type(error).__name__}: {reason}): fix what it names"
        ) from error


def _check_pieces(data: LeRobotData) -> None:
    """Raise `DataError` if an episode is longer than its video: it would be given another episode's images."""
    for key, feature in data.features.items():
        if feature["dtype"] == "video":
            data.check_pieces(key)


def _keep_fps(original: Path, root: Path) -> None:
    """Restore a frame rate such as 29.97, which the converter truncates to a whole number."""
    path = root / "meta/info.json"
    fps, info = read_json(original / "meta/info.json", DataError)["fps"], read_json(path, DataError)
    if info["fps"] != fps:
        write_json(path, info | {"fps": fps})


def _run_converter(root: Path, cache: Path, unlike: set[Path]) -> None:
    import datasets.config
    from lerobot.scripts import convert_dataset_v21_to_v30 as converter

    with _cached_in(datasets.config, cache), any_path(converter), apart(converter, unlike):
        converter.convert_dataset("local/dataset", root=root, push_to_hub=False)


@contextlib.contextmanager
def _cached_in(config: Any, cache: Path) -> Iterator[None]:
    """Give the converter a cache of its own, so that one dataset's cache is never used for another."""
    before = config.HF_DATASETS_CACHE
    config.HF_DATASETS_CACHE = cache
    try:
        yield
    finally:
        config.HF_DATASETS_CACHE = before
