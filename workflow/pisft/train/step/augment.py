"""The image augmentation of JAX openpi (models/model.py: preprocess_observation; augmax 0.4.1), quirks included.

`draw` makes each sample's random numbers on the CPU, from the seed, the step and its place in the global batch alone;
`augment` applies them to images on the images' device, without synchronising with it.

- Slots without "wrist" in their name: a crop to 95 % scaled back and a rotation by up to 5°, as one warp.
- All slots: colour jitter, in half of the samples. Wrist slots share one draw, the others another.
- Saturation is never changed: augmax computes the change and discards it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Columns of a draw: crop y, crop x, angle; whether to jitter, brightness, contrast and hue of the slots that are
# warped; the same four of the wrist slots.
DRAWS = 11
WARP, COLOURS, WRIST_COLOURS = slice(0, 3), slice(3, 7), slice(7, 11)
STREAM = 1  # of the random numbers; noise and time use another
CROP, ANGLE = 0.95, math.radians(5)
PROBABILITY, BRIGHTNESS, CONTRAST, HUE = 0.5, 0.3, 0.4, 0.1


def draw(seed: int, step: int, places: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return uniform numbers in [0, 1), float32 (B, DRAWS), for `places` (B,) in the global batch of `step`."""
    numbers = np.empty((len(places), DRAWS), np.float32)
    for row, place in enumerate(places):
        generator = np.random.Generator(np.random.Philox(key=[seed, STREAM], counter=[0, 0, int(place), step]))
        generator.random(out=numbers[row], dtype=np.float32)
    return numbers


@torch.no_grad()
def augment(images: dict[str, Tensor], draws: Tensor) -> dict[str, Tensor]:
    """Augment `images`, slot → (B, 3, H, W) in [-1, 1], by `draws` (B, DRAWS); computed in fp32."""
    found = {}
    for slot, image in images.items():
        pixels, wrist = image.float() / 2 + 0.5, "wrist" in slot
        if not wrist:
            pixels = warp(pixels, draws[:, WARP])
        found[slot] = jitter(pixels, draws[:, WRIST_COLOURS if wrist else COLOURS]) * 2 - 1
    return found


def warp(pixels: Tensor, draws: Tensor) -> Tensor:
    """Crop, scale back and rotate (B, 3, H, W) in one bilinear look-up; `draws` (B, 3). Outside is black."""
    _, _, H, W = pixels.shape
    height, width = int(H * CROP), int(W * CROP)
    y, x, turn = (draws * 2 - 1).unbind(1)  # each in [-1, 1)
    angle = turn * ANGLE
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    rows = torch.arange(H, device=pixels.device)[:, None] - (H - 1) / 2
    columns = torch.arange(W, device=pixels.device) - (W - 1) / 2
    # where each pixel comes from, in pixels from the centre: rotate, scale, shift
    source_y = (cos * rows + sin * columns) * (height / H) + (y * (H - height) / 2)[:, None, None]
    source_x = (cos * columns - sin * rows) * (width / W) + (x * (W - width) / 2)[:, None, None]
    grid = torch.stack([source_x * (2 / (W - 1)), source_y * (2 / (H - 1))], dim=-1)  # (B, H, W, 2)
    return F.grid_sample(pixels, grid, "bilinear", "zeros", align_corners=True)


def jitter(pixels: Tensor, draws: Tensor) -> Tensor:
    """Change brightness, contrast and hue of (B, 3, H, W) in [0, 1], in HSV; `draws` (B, 4)."""
    applied, *amounts = draws[:, :, None, None].unbind(1)  # each (B, 1, 1)
    scale = (BRIGHTNESS, CONTRAST, HUE)
    brightness, contrast, shift = ((u * 2 - 1) * strength for u, strength in zip(amounts, scale, strict=True))
    hue, saturation, value = hsv(pixels)
    value = torch.where(brightness < 0, value * (1 + brightness), value * (1 - brightness) + brightness)
    slant = ((contrast + 1) * (math.pi / 4)).tan()
    low = (slant - slant.square()) / (2 * (1 - slant.square()))  # NaN at contrast 0: no value compares as below it
    bent = torch.where(value > 1 - low, value / slant + 1 - 1 / slant, slant * (value - 0.5) + 0.5)
    value = torch.where(value < low, value / slant, bent)
    changed = rgb(hue + shift, saturation, value)
    return torch.where(applied[:, None] >= 1 - PROBABILITY, changed, pixels)


def hsv(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert (B, 3, H, W) to hue (in full turns; may be negative), saturation and value, each (B, H, W)."""
    value, largest = pixels.max(dim=1)
    spread = value - pixels.amin(dim=1)
    second, third = (pixels.gather(1, ((largest + i) % 3)[:, None])[:, 0] for i in (1, 2))
    hue = torch.where(spread == 0, 0.0, (2 * largest + (second - third) / spread) / 6)
    return hue, torch.where(value == 0, 0.0, spread / value), value


def rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Convert what `hsv` returns back to (B, 3, H, W)."""
    sector = torch.stack([(n + hue * 6).remainder(6) for n in (5, 3, 1)], dim=1)
    value, saturation = value[:, None], saturation[:, None]
    return value - value * saturation * torch.minimum(sector, 4 - sector).clamp(0, 1)
