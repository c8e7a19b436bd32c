"""LeRobot v2.0 and v2.1 datasets as v3.0, by lerobot's own converter: start from `convert`. The original is only read.

A v2.0 dataset lacks the statistics of each episode, which the converter wants: they are computed here from the vectors.
The pictures' are left out, since nothing of ours reads them; lerobot computes them where it needs them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pisft.canonical import write_json
from pisft.data.dataset import LeRobotData
from pisft.data.errors import DataError
from pisft.data.joining import any_path
from pisft.data.manifest import describe
from pisft.data.reproducible import same_bytes
from pisft.data.template import check_keys

OLD = ("v2.0", "v2.1")


def version(root: Path) -> str:
    """The `codebase_version` of a dataset folder; raises `DataError`."""
    path = root / "meta/info.json"
    try:
        return str(json.loads(path.read_text()).get("codebase_version"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {root} is not a LeRobot dataset") from error
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: is not valid JSON with a codebase_version ({error})") from error


def _features(root: Path) -> dict[str, Any]:
    features = json.loads((root / "meta/info.json").read_text()).get("features")
    return features if isinstance(features, dict) else {}


def convert(original: Path, root: Path) -> dict[str, Any]:
    """Write the v3.0 version of `original` to `root`, which is put in place when it is whole; what was converted.

    Nothing is asked of the network. Raises `DataError` where the converter cannot read the original.
    """
    found = version(original)
    check_keys(_features(original), f"{original}/meta/info.json")
    if strange := sorted(path for name in ("data", "videos") for path in (original / name).rglob("._*")):
        raise DataError(f"{strange[0]}: macOS's note beside a file ({len(strange)} such), taken for data; delete them")
    work = root.with_name(".converting")
    shutil.rmtree(work, ignore_errors=True)
    shadow = work / "dataset"
    (shadow / "meta").mkdir(parents=True)
    for path in (original / "meta").iterdir():
        if path.is_file():
            shutil.copyfile(path, shadow / "meta" / path.name)
    for name in ("data", "videos"):
        if (original / name).is_dir():
            (shadow / name).symlink_to((original / name).absolute())
    try:
        if found == "v2.0":
            _as_v21(shadow)
        _run_converter(shadow, work / "cache")
        _keep_fps(original, shadow)
        same_bytes(shadow)
        _check_pieces(shadow, original)
    except Exception as error:  # the converter and what it stands on raise a dozen types for metadata that are odd
        if isinstance(error, DataError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        reason = " ".join(str(error).split()).replace(str(shadow), str(original))
        raise DataError(
            f"{original}: a LeRobot {found} dataset that lerobot's converter to v3.0 cannot read "
            f"({type(error).__name__}: {reason}): mend what it names, or fetch it again"
        ) from error
    else:
        if root.is_symlink():
            root.unlink()
        shutil.rmtree(root, ignore_errors=True)
        os.rename(shadow, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    listing = sorted((name, facts["sha256"]) for name, facts in describe(original).items())
    return {"converted_from": found, "original": hashlib.sha256(json.dumps(listing).encode()).hexdigest()}


def _check_pieces(root: Path, original: Path) -> None:
    """No episode is longer than its video: joined with the others, it would be shown theirs."""
    data = LeRobotData(root)
    for key, feature in data.features.items():
        if feature["dtype"] == "video":
            try:
                data.check_pieces(key)
            except DataError as error:
                raise DataError(f"{original}: {str(error).removeprefix(f'{root}/')}") from None


def _keep_fps(original: Path, root: Path) -> None:
    """The converter cuts a frame rate such as 29.97 to a whole number."""
    path = root / "meta/info.json"
    fps, info = json.loads((original / "meta/info.json").read_text())["fps"], json.loads(path.read_text())
    if info["fps"] != fps:
        write_json(path, info | {"fps": fps})


def _as_v21(root: Path) -> None:
    info_path = root / "meta/info.json"
    info = json.loads(info_path.read_text())
    numeric = [key for key, f in info["features"].items() if f["dtype"] not in ("image", "video", "string")]
    lines = []
    for path in sorted((root / "data").glob("*/*.parquet")):
        table = pq.read_table(path, columns=numeric, partitioning=None)
        stats = {key: _stats(np.asarray(table[key].to_pylist(), np.float64)) for key in numeric}
        lines.append({"episode_index": int(table["episode_index"][0].as_py()), "stats": stats})
    (root / "meta/episodes_stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    info["codebase_version"] = "v2.1"
    info_path.write_text(json.dumps(info))


def _stats(values: np.ndarray) -> dict[str, list[float]]:
    rows = values.reshape(len(values), -1)
    quantities = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    return {name: x.tolist() for name, x in quantities.items()} | {"count": [len(rows)]}


def _run_converter(root: Path, cache: Path) -> None:
    import datasets
    from lerobot.scripts import convert_dataset_v21_to_v30 as converter

    with _cached_in(datasets.config, cache), any_path(converter):
        converter.convert_dataset("local/dataset", root=root, push_to_hub=False)
    for path in root.rglob("*.mp4"):
        path.chmod(0o644)  # lerobot joins videos in temporary files, which their owner alone may read


@contextlib.contextmanager
def _cached_in(config: Any, cache: Path) -> Iterator[None]:
    """What the converter caches of one dataset must not be taken for another's."""
    before = config.HF_DATASETS_CACHE
    config.HF_DATASETS_CACHE = cache
    try:
        yield
    finally:
        config.HF_DATASETS_CACHE = before
