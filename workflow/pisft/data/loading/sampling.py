"""Randomness as a function of (seed, step, place in the global batch) alone: order, noise and time.

`batch_indices` chooses the frames of a step, `noise_and_time` draws for them. Both are stateless, so that a restart,
another number of processes or another micro-batch size changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def batch_indices(
    seed: int, step: int, global_batch_size: int, sizes: Sequence[int], weights: Sequence[float] | None = None
) -> np.ndarray:
    """Return the frames of step `step` (from 0), int64 (global_batch_size,), numbered over the concatenated datasets.

    An epoch has each frame of the dataset with the least weight once, in a new order. A dataset with twice that weight
    has each frame twice; with 1.5 times, each frame once and a random half of them once more.
    """
    weights = tuple(weights) if weights is not None else (1.0,) * len(sizes)
    length = sum(sum(_shares(size, w / min(weights))) for size, w in zip(sizes, weights, strict=True))
    places = step * global_batch_size + np.arange(global_batch_size)
    batch = np.empty(global_batch_size, np.int64)
    for epoch in range(places[0] // length, places[-1] // length + 1):
        inside = places // length == epoch
        batch[inside] = _epoch(seed, epoch, tuple(sizes), weights)[places[inside] % length]
    return batch


def noise_and_time(
    seed: int, step: int, positions: Sequence[int] | np.ndarray, draws: int, action_horizon: int, action_dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw noise ~ N(0, 1), float32 (B, K, H, A), and time = 0.999·Beta(1.5, 1) + 0.001, float32 (B, K).

    `positions` (B,) are places in the global batch, `draws` is K; as in openpi's `compute_loss`.
    """
    noise = np.empty((len(positions), draws, action_horizon, action_dim), np.float32)
    uniform = np.empty((len(positions), draws))
    for i, position in enumerate(positions):
        # drawing advances the low words of the counter; the high words differ by sample
        generator = np.random.Generator(np.random.Philox(key=[seed, 0], counter=[0, 0, int(position), step]))
        uniform[i] = generator.random(draws)
        generator.standard_normal(out=noise[i], dtype=np.float32)
    beta = uniform ** (1 / 1.5)  # inverse of the CDF of Beta(1.5, 1), x^1.5
    return noise, (beta * 0.999 + 0.001).astype(np.float32)


def _shares(size: int, ratio: float) -> tuple[int, int]:
    """Return how many frames of an epoch are whole passes over a dataset, and how many a partial one."""
    whole = int(ratio)
    return whole * size, round((ratio - whole) * size)


@lru_cache(maxsize=2)  # a batch spans the end of one epoch and the start of the next
def _epoch(seed: int, epoch: int, sizes: tuple[int, ...], weights: tuple[float, ...]) -> np.ndarray:
    generator = np.random.default_rng([seed, epoch])
    parts, start = [], 0
    for size, weight in zip(sizes, weights, strict=True):
        whole, part = _shares(size, weight / min(weights))
        parts.append(start + np.arange(whole) % size)
        parts.append(start + generator.permutation(size)[:part])
        start += size
    return generator.permutation(np.concatenate(parts))
