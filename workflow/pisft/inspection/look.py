"""Inspects a dataset automatically: start from `inspect(data, name, variant)`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pisft.data.lerobot.dataset import LeRobotData
from pisft.inspection.dims import Dim, describe
from pisft.inspection.relation import Relation, relate
from pisft.inspection.roles import Roles, assign
from pisft.inspection.sample import Sample, read

Variant = Literal["pi0", "pi05"]
STILL = 0.05  # share of unchanged frames that is reported
WIDEST = 32  # most dims of a state or an action that the published weights take


@dataclass(frozen=True)
class Inspection:
    """The results for `data`, of which `sample` was read; `findings` are (level, text) about the whole dataset."""

    name: str
    variant: Variant
    data: LeRobotData
    sample: Sample
    roles: Roles
    state: list[Dim]
    actions: list[Dim]
    relations: list[Relation]
    findings: list[tuple[str, str]]

    @property
    def prompts(self) -> list[tuple[str, int]]:
        """Each instruction with the number of episodes that begin with it, most frequent first."""
        numbers, counts = np.unique(self.data.task_index[self.data.starts], return_counts=True)
        found = [(self.data.tasks[number] or "", int(count)) for number, count in zip(numbers, counts, strict=True)]
        return sorted(found, key=lambda prompt: (-prompt[1], prompt[0]))


def inspect(data: LeRobotData, name: str, variant: Variant = "pi0") -> Inspection:
    """Assign the features' roles, read a sample and analyse it; raises `DataError`."""
    roles = assign(data.features, f"{data.root}/meta/info.json")
    sample = read(data, list(dict.fromkeys([*roles.state, *roles.actions])))
    state = describe(sample, data.features, "state", roles.state)
    actions = describe(sample, data.features, "actions", roles.actions)
    relations = relate(actions, state, sample)
    findings = _findings(data, sample, state, actions)
    return Inspection(name, variant, data, sample, roles, state, actions, relations, findings)


def _findings(data: LeRobotData, sample: Sample, state: list[Dim], actions: list[Dim]) -> list[tuple[str, str]]:
    found = []
    for role, dims in (("state", state), ("actions", actions)):
        if len(dims) > WIDEST:
            found.append(
                ("bad", f"{role}: {len(dims)} dims, and the published weights take {WIDEST}: choose some with dims")
            )
        for level, notes in (("bad", "errors"), ("notice", "notes")):
            found += [(level, f"{_called(dim)}: {note}") for dim in dims for note in getattr(dim, notes)]
    s, a = (np.stack([dim.values for dim in dims], 1) for dims in (state, actions))
    if s.shape == a.shape:
        if np.array_equal(s, a):
            found.append(
                ("bad", "action[t] is state[t]: a policy would learn to stand still; record the commands, or shift")
            )
        elif np.array_equal(s[1:][~sample.last[:-1]], a[:-1][~sample.last[:-1]]):
            found.append(("notice", "action[t] is state[t+1], to the bit: made from the states, not commands"))
    still = (np.diff(s, axis=0) == 0).all(1) & (np.diff(a, axis=0) == 0).all(1) & ~sample.last[:-1]
    if (share := still.mean() if len(still) else 0) > STILL:
        found.append(("notice", f"{100 * share:.0f} % of the frames differ in nothing from the one before: pauses"))
    found += [("notice", line) for line in _doubles(sample, np.concatenate([s, a], 1))]
    shortest, longest = data.episode_lengths.min(), data.episode_lengths.max()
    if longest > 5 * np.median(data.episode_lengths):
        found.append(
            ("notice", f"the longest episode has {longest} frames, the median {np.median(data.episode_lengths):.0f}")
        )
    if shortest < data.fps / 2:
        where = int(data.episode_lengths.argmin())
        found.append(("notice", f"episode {where} has {shortest} frames only, {shortest / data.fps:.2f} s"))
    return found


def _called(dim: Dim) -> str:
    """Return a dim's role and name, or the name alone if it begins with the dim's key."""
    return dim.name if dim.name.startswith(dim.key) else f"{dim.role} {dim.name}"


def _doubles(sample: Sample, values: np.ndarray) -> list[str]:
    """Report episodes that are identical to the bit."""
    seen: dict[str, list[int]] = {}
    for place, episode in enumerate(sample.episodes):
        content = hashlib.sha256(values[sample.rows(place)].tobytes()).hexdigest()
        seen.setdefault(content, []).append(int(episode))
    doubles = [same for same in seen.values() if len(same) > 1]
    shown = "; ".join(" = ".join(map(str, same[:4])) for same in doubles[:3])
    count = sum(len(same) - 1 for same in doubles)
    return [f"{count} of {len(sample.episodes)} episodes are there before (same vectors): {shown}"] if doubles else []
