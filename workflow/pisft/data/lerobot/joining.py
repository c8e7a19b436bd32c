"""Patches how lerobot joins videos. Start from `any_path(module)`.

lerobot lists the files for FFmpeg with each path in single quotes, which a `'` in the path would end. Videos that
cannot be joined at all are kept `apart`.
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
    """Make `concatenate_video_files` of lerobot's `module` accept any path while in the context."""
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
    """Make lerobot's converter `module` start a new file at each video of `unlike` while in the context.

    Their encoding differs from that of the video before, and lerobot joins videos without encoding them again.
    """
    size = module.get_file_size_in_mb
    module.get_file_size_in_mb = lambda path: math.inf if path in unlike else size(path)
    try:
        yield
    finally:
        module.get_file_size_in_mb = size


class _Listed(PosixPath):
    def resolve(self, strict: bool = False) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] lerobot prints it
        return str(super().resolve(strict)).replace("'", "'\\''")
