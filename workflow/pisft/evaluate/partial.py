"""What is kept of an evaluation that has not ended: a file a group of episodes. Start from `save` and `load`."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pisft.evaluate.episode import Episode


def save(folder: Path | None, number: int, episodes: Sequence[Episode]) -> None:
    """Keep group `number`; without a folder, nothing is."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    facts = [[e.task, e.seed, e.success, e.completed, e.steps] for e in episodes]
    temporary = folder / f".{number}.tmp"
    with open(temporary, "wb") as file:
        np.savez(file, facts=json.dumps(facts), **{str(i): e.actions for i, e in enumerate(episodes)})
    os.replace(temporary, folder / f"{number}.npz")


def load(folder: Path | None, groups: Sequence[Sequence[tuple[str, int]]]) -> dict[int, list[Episode]]:
    """The groups that are kept, by number; a file that is not whole, or of other episodes, counts as none."""
    found = {}
    for number, group in enumerate(groups):
        path = folder / f"{number}.npz" if folder else None
        if path is None or not zipfile.is_zipfile(path):
            continue
        with np.load(path) as kept:
            facts = json.loads(str(kept["facts"]))
            episodes = [Episode(*fact, kept[str(i)]) for i, fact in enumerate(facts)]
        if [(e.task, e.seed) for e in episodes] == [tuple(episode) for episode in group]:
            found[number] = episodes
    return found
