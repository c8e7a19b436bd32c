"""Which episodes are trained on and which are kept out for validation: start from `split`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pisft.config.experiment import DatasetUse, Split
from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData


def split(episodes: Sequence[int], heldout_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """(train, heldout) episode numbers, ascending; ceil(heldout_fraction · n) are held out.

    The same `seed` keeps an episode held out when the fraction grows. Nothing left to train on is a `DataError`.
    """
    ordered = sorted(set(episodes))
    # the product of a decimal fraction and a count may be a hair above the integer that is meant
    count = max(math.ceil(heldout_fraction * len(ordered) - 1e-9), heldout_fraction > 0)
    if count >= len(ordered):
        raise DataError(
            f"split.heldout_fraction {heldout_fraction} of {len(ordered)} episodes leaves none to train on; "
            "give more episodes or a smaller fraction; 0 trains on all, without validation"
        )
    shuffled = np.random.default_rng(seed).permutation(ordered)
    return sorted(shuffled[count:].tolist()), sorted(shuffled[:count].tolist())


def parts(use: DatasetUse, data: LeRobotData, config: Split) -> tuple[list[int], list[int]]:
    """`split` of the episodes that an experiment uses of `data`; with `episodes_per_task` it trains on the first ones
    of each instruction only, and what is held out stays the same."""
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
