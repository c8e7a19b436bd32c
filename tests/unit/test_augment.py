"""Augmentation is drawn for each sample by its place alone, and changes only what it should."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pisft.train.step.augment import COLOURS, DRAWS, WARP, WRIST_COLOURS, augment, draw

SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")


def make_images(batch=4, size=32):
    g = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(batch, 3, 5, 5, generator=g), size, mode="bilinear")
    return dict.fromkeys(SLOTS, smooth * 2 - 1)


def neutral(batch=4):
    """No shift, no turn, no jitter."""
    draws = torch.full((batch, DRAWS), 0.5)
    draws[:, [COLOURS.start, WRIST_COLOURS.start]] = 0
    return draws


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 2**40), st.integers(1, 7))
def test_draws_depend_on_the_place_and_not_on_how_a_batch_is_cut(seed, step, cut):
    whole = draw(seed, step, range(8))
    parts = [draw(seed, step, range(cut)), draw(seed, step, range(cut, 8))]
    assert np.array_equal(np.concatenate(parts), whole)
    assert len(np.unique(whole)) > DRAWS * 7
    assert not np.array_equal(whole, draw(seed, step + 1, range(8)))


def test_draws_are_uniform():
    draws = draw(0, 0, range(4000))
    assert np.abs(draws.mean(0) - 0.5).max() < 0.02
    assert np.abs(draws.std(0) - 12**-0.5).max() < 0.01
    assert np.abs(np.corrcoef(draws.T) - np.eye(DRAWS)).max() < 0.06


def test_each_sample_is_augmented_by_its_own_draw():
    images, draws = make_images(), torch.from_numpy(draw(0, 0, range(4)))
    whole = augment(images, draws)
    for slot in SLOTS:
        one = augment({slot: images[slot][2:3]}, draws[2:3])[slot]
        torch.testing.assert_close(one, whole[slot][2:3])


def test_wrist_cameras_are_not_warped_and_share_their_colours():
    draws = torch.from_numpy(draw(0, 0, range(4)))
    draws[:, WRIST_COLOURS.start] = 0
    images = make_images()
    found = augment(images, draws)
    for slot in SLOTS[1:]:
        torch.testing.assert_close(found[slot], images[slot])
    draws[:, WRIST_COLOURS.start] = 1
    found = augment(images, draws)
    assert torch.equal(found[SLOTS[1]], found[SLOTS[2]])
    assert not torch.allclose(found[SLOTS[1]], images[SLOTS[1]], atol=0.01)


def test_half_of_the_samples_keep_their_colours():
    images = {SLOTS[1]: make_images(1, 8)[SLOTS[1]].expand(400, -1, -1, -1)}
    found = augment(images, torch.from_numpy(draw(0, 0, range(400))))[SLOTS[1]]
    kept = (found - images[SLOTS[1]]).abs().amax((1, 2, 3)) < 1e-6
    assert 0.42 < kept.float().mean() < 0.58


def test_a_crop_without_a_turn_enlarges_the_middle():
    image = torch.full((1, 3, 40, 40), -1.0)
    image[..., 10:30, 10:30] = 1.0
    found = augment({"base_0_rgb": image}, neutral(1))["base_0_rgb"]
    # int(40 · 0.95) = 38: a side of 20 becomes one of 20 · 40 / 38
    side = ((found[0, 0, 20] + 1) / 2).sum().item()
    assert side == pytest.approx(20 * 40 / 38, abs=0.05)


def test_images_stay_in_range_and_corners_turn_black():
    draws = torch.from_numpy(draw(0, 0, range(64)))
    draws[:, WARP] = torch.tensor([0.0, 0.0, 1.0])
    found = augment({"base_0_rgb": torch.ones(64, 3, 48, 48)}, draws)["base_0_rgb"]
    assert found.max() <= 1 + 1e-6
    assert found.min() >= -1 - 1e-6
    assert (found.amin((1, 2, 3)) < 0).any()


def test_nothing_waits_for_the_device():
    images = {slot: torch.empty(2, 3, 16, 16, device="meta") for slot in SLOTS}
    found = augment(images, torch.empty(2, DRAWS, device="meta"))
    assert {x.shape for x in found.values()} == {(2, 3, 16, 16)}
