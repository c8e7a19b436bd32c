"""Decodes an image of a dataset's table to 8-bit RGB: start from `decode`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# PIL modes that convert to 8-bit RGB: grey to all channels, palettes to their colours; transparency is dropped.
COLOURS = {"1", "CMYK", "HSV", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"}


class ImageError(ValueError):
    """Says what is wrong with an image, and what to do."""


def decode(cell: Any, root: Path) -> np.ndarray:
    """Decode a cell to uint8 (H, W, 3); raises `ImageError`, also for 16-bit and float images."""
    content = encoded(cell, root)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode not in COLOURS:
                raise ImageError(
                    f"is an image of mode {image.mode}, whose range does not fit into 8 bits a channel (depth, or 16 "
                    "bits): store it as 8-bit RGB or grey, scaled by a range of your choice"
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, TypeError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError("found bytes that are not an image; fetch the dataset again") from error


def encoded(cell: Any, root: Path) -> bytes:
    """Return the encoded image of a cell: bytes, a `path` in the dataset at `root`, or a mapping with either."""
    content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, Mapping) else (cell, None)
    path = content if isinstance(content, str) else path
    if isinstance(path, str) and not isinstance(content, bytes):
        content = _file(root, path)
    if not isinstance(content, bytes):
        raise ImageError(f"found {type(content).__name__}; expected an encoded image, or the path of one")
    return content


def _file(root: Path, name: str) -> bytes:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ImageError(f"path: found {name!r}; expected a file in the dataset's folder")
    try:
        return (root / name).read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{root / name}: cannot be read; it lies beside the tables, and has to be fetched too"
        ) from error
