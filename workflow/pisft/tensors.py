"""Writes tensors to a safetensors file, complete or not at all. Start from `save`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pisft.atomic import new_file
from pisft.canonical import for_others


def save(tensors: Mapping[str, Any], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write contiguous `tensors`, all of numpy or all of torch, to `path`, with the permissions of other files."""
    if all(isinstance(tensor, np.ndarray) for tensor in tensors.values()):
        from safetensors.numpy import save_file
    else:
        from safetensors.torch import save_file
    with new_file(path) as temporary:
        save_file(dict(tensors), temporary, metadata=metadata)
        for_others(temporary)
