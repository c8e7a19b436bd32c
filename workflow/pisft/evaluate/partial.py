"""Saves the rollouts of an unfinished evaluation, one file for each group. Start from `save` and `load`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pisft.atomic import new_file
from pisft.evaluate.episode import Episode


class Group(NamedTuple):
    """The results of a group's episodes, and how each simulator process was lost while they ran."""

    episodes: list[Episode]
    lost: list[str]


def save(folder: Path | None, number: int, group: Group) -> None:
    """Save group `number`; without a folder, do nothing."""
    if folder is None:
        return
    outcomes = [[e.task, e.seed, e.success, e.completed, e.steps] for e in group.episodes]
    facts = json.dumps({"episodes": outcomes, "lost": group.lost})
    with new_file(folder / f"{number}.npz") as temporary, open(temporary, "wb") as file:
        actions = {str(i): e.actions for i, e in enumerate(group.episodes)}
        np.savez(file, facts=facts, **actions)  # pyright: ignore[reportArgumentType] none is called allow_pickle


def load(folder: Path | None, groups: Sequence[Sequence[tuple[str, int]]]) -> dict[int, Group]:
    """Return the saved groups, by number; an incomplete file, or one with other episodes, is ignored."""
    found = {}
    for number, group in enumerate(groups):
        path = folder / f"{number}.npz" if folder else None
        if path is None or not zipfile.is_zipfile(path):
            continue
        with np.load(path) as file:
            facts = json.loads(str(file["facts"]))
            episodes = [Episode(*outcome, actions=file[str(i)]) for i, outcome in enumerate(facts["episodes"])]
        if [(e.task, e.seed) for e in episodes] == [tuple(episode) for episode in group]:
            found[number] = Group(episodes, facts["lost"])
    return found
