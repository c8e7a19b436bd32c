"""Splits episodes into training and held-out ones: start from `split`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pisft.config.experiment import DatasetUse, Split
from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData


def split(episodes: Sequence[int], heldout_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Return (train, heldout) episode numbers, ascending; ceil(heldout_fraction · n) are held out.

    With the same `seed`, an episode stays held out when the fraction grows. Raises `DataError` if none is left to train
    on.
    """
    ordered = sorted(set(episodes))
    # floating point may put the product just above the intended integer
    count = max(math.ceil(heldout_fraction * len(ordered) - 1e-9), heldout_fraction > 0)
    if count >= len(ordered):
        raise DataError(
            f"split.heldout_fraction {heldout_fraction} of {len(ordered)} episodes leaves none to train on; "
            "give more episodes or a smaller fraction; 0 trains on all, without validation"
        )
    shuffled = np.random.default_rng(seed).permutation(ordered)
    return sorted(shuffled[count:].tolist()), sorted(shuffled[:count].tolist())


def parts(use: DatasetUse, data: LeRobotData, config: Split) -> tuple[list[int], list[int]]:
    """Split, by `split`, the episodes that an experiment uses of `data`.

    With `episodes_per_task`, only the first ones of each instruction are trained on; the held-out ones do not change.
    """
    train, heldout = split(use.selected(data.num_episodes), config.heldout_fraction, config.seed)
    if use.episodes_per_task is None:
        return train, heldout
    seen: Counter[int] = Counter()
    few = []
    for episode in train:
        task = int(data.task_index[data.episode_slices[episode].start])
        seen[task] += 1
        if seen[task] <= use.episodes_per_task:
            few.append(episode)
    return few, heldout
