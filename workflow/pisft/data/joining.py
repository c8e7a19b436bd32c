"""lerobot joins videos by a list that it writes for FFmpeg, each path in single quotes, which a `'` in one would end.
Start from `any_path(module)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from types import ModuleType
from typing import Any


@contextmanager
def any_path(module: ModuleType) -> Iterator[None]:
    """Inside, the `concatenate_video_files` of a module of lerobot's takes files in folders of any name."""
    join = module.concatenate_video_files

    def joined(paths: list[Path], *args: Any, **kwargs: Any) -> Any:
        return join([_Listed(path) for path in paths], *args, **kwargs)

    module.concatenate_video_files = joined
    try:
        yield
    finally:
        module.concatenate_video_files = join


class _Listed(PosixPath):
    def resolve(self, strict: bool = False) -> str:
        return str(super().resolve(strict)).replace("'", "'\\''")
