"""Given augmax's draws, our augmentation makes of an image what augmax makes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pisft.train.step.augment import COLOURS, DRAWS, WARP, WRIST_COLOURS, augment


@pytest.mark.parametrize(("name", "slot"), [("base", "base_0_rgb"), ("wrist", "left_wrist_0_rgb")])
def test_images_are_augmaxs(name, slot):
    with np.load(Path(__file__).parent / "data/augmax.npz") as stored:
        images, expected, drawn = (torch.from_numpy(stored[key]) for key in ("images", name, f"{name}_draws"))
    draws = torch.zeros(len(images), DRAWS)
    if name == "base":
        draws[:, WARP], draws[:, COLOURS] = drawn[:, :3], drawn[:, 3:]
    else:
        draws[:, WRIST_COLOURS] = drawn
    assert 0 < drawn[:, -4].sum() < len(images)
    found = augment({slot: images.permute(0, 3, 1, 2) * 2 - 1}, draws)[slot] / 2 + 0.5
    torch.testing.assert_close(found.permute(0, 2, 3, 1), expected, atol=2e-5, rtol=0)
