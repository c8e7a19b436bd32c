"""Resizes images to the model's size: `resize_with_pad`, as openpi does."""

from __future__ import annotations

import numpy as np
from PIL import Image


def resize_with_pad(image: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) → uint8 (size, size, 3): antialiased bilinear, aspect ratio preserved, black borders.

    An image of that size is returned unchanged. Source: openpi's `image_tools.resize_with_pad_pil`.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    ratio = max(height, width) / size
    inner = (int(height / ratio), int(width / ratio))
    # PIL's bilinear filter widens its kernel when it shrinks an image, which is the antialiasing
    resized = Image.fromarray(image).resize((inner[1], inner[0]), Image.Resampling.BILINEAR)
    padded = np.zeros((size, size, 3), np.uint8)
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    padded[top : top + inner[0], left : left + inner[1]] = np.asarray(resized)
    return padded
