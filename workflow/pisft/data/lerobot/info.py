"""Reads a dataset's meta/info.json, v2.0 to v3.0; only the entries used need to exist. Start from `read_info`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pisft.canonical import read_json
from pisft.data.errors import DataError
from pisft.data.lerobot.template import check_keys

IMAGE_DTYPES = ("image", "video")


@dataclass(frozen=True)
class Info:
    """The content of info.json: `features` can be read, `odd` are the others, key → what is wrong with the entry."""

    path: Path
    version: str
    fps: float
    features: dict[str, dict[str, Any]]
    odd: dict[str, str]
    data_path: Any
    video_path: Any
    content: dict[str, Any]


def read_info(root: Path) -> Info:
    """Read the info.json of the dataset at `root`; raises `DataError` if an entry is wrong that every reader needs."""
    path = root / "meta/info.json"
    content = read_json(path, DataError, f"{root} is not a LeRobot dataset")
    features = content.get("features")
    if not isinstance(features, dict) or not features:
        raise DataError(
            f"{path}: features: found {_shown(features)}; expected a mapping, key → {{dtype, shape}}, of what the "
            "dataset holds"
        )
    check_keys({key: each for key, each in features.items() if isinstance(each, Mapping)}, str(path))
    whole, odd = {}, {}
    for key, feature in features.items():
        found = _feature(feature)
        (odd if isinstance(found, str) else whole)[key] = found
    return Info(
        path=path,
        version=str(content.get("codebase_version")),
        fps=_fps(path, content.get("fps")),
        features=whole,
        odd=odd,
        data_path=content.get("data_path"),
        video_path=content.get("video_path"),
        content=content,
    )


def is_count(value: Any) -> TypeGuard[int]:
    """Whether `value` is a whole number from 1 to 2³¹ − 1."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _feature(feature: Any) -> dict[str, Any] | str:
    """Return the entry with its shape as a list, or what is wrong with it."""
    if not isinstance(feature, dict):
        return f"found {_shown(feature)}; expected {{dtype, shape}}"
    dtype, shape = feature.get("dtype"), feature.get("shape")
    if not isinstance(dtype, str):
        return f"dtype: found {_shown(dtype)}; expected a name such as float32 or video"
    shape = [shape] if is_count(shape) else shape
    if not isinstance(shape, list) or not shape or not all(map(is_count, shape)):
        return f"shape: found {_shown(shape)}; expected a list of counts such as [7]"
    if dtype in IMAGE_DTYPES and len(shape) != 3:
        return f"shape: found {shape}; expected a camera's height, width and channels"
    return feature | {"dtype": dtype, "shape": shape}


def _fps(path: Path, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 < value < 1e6:
        raise DataError(f"{path}: fps: found {_shown(value)}; expected the frames of a second, such as 30")
    return float(value)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
