"""lerobot joins videos by a list that it writes for FFmpeg, each path in single quotes, which a `'` in one would end.
Start from `any_path(module)`. What it cannot join at all is kept `apart`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from typing import Any, Protocol


class _Joins(Protocol):
    concatenate_video_files: Callable[..., Any]


class _Measures(Protocol):
    get_file_size_in_mb: Callable[[Path], float]


@contextmanager
def any_path(module: _Joins) -> Iterator[None]:
    """Inside, the `concatenate_video_files` of a module of lerobot's takes files in folders of any name."""
    join = module.concatenate_video_files

    def joined(paths: list[Path], *args: Any, **kwargs: Any) -> Any:
        return join([_Listed(path) for path in paths], *args, **kwargs)

    module.concatenate_video_files = joined
    try:
        yield
    finally:
        module.concatenate_video_files = join


@contextmanager
def apart(module: _Measures, unlike: set[Path]) -> Iterator[None]:
    """Inside, the converter `module` of lerobot's begins a file with each of the videos `unlike`, which differ from the
    one before in how they are encoded: it joins them as they are."""
    size = module.get_file_size_in_mb
    module.get_file_size_in_mb = lambda path: math.inf if path in unlike else size(path)
    try:
        yield
    finally:
        module.get_file_size_in_mb = size


class _Listed(PosixPath):
    def resolve(self, strict: bool = False) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] lerobot prints it
        return str(super().resolve(strict)).replace("'", "'\\''")
