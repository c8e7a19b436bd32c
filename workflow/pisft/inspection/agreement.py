"""Checks what a format declares about its actions against the data: start from `contradictions(data, fmt)`.

The data are judged as by the inspector (`pisft.inspection.relation`), on a sample of all episodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pisft.config.format import ROT6D_DIMS, Source
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.transforms.format import Format
from pisft.inspection.dims import Dim, describe
from pisft.inspection.proposal import action_type
from pisft.inspection.relation import Relation, relate, relation
from pisft.inspection.roles import ACTIONS, STATES, words
from pisft.inspection.sample import Sample, read

UNRELATED = 0.3  # |r| of an action with the state that is subtracted from it, below which they are unrelated
BACKWARDS = -0.25  # β of `pisft.inspection.relation`; it is about −1 if an action is the state one step before


def contradictions(data: LeRobotData, fmt: Format) -> list[str]:
    """Return a sentence for each declaration about the actions that the data contradict."""
    config = fmt.config
    sample = read(data, fmt.vector_keys)
    state, actions = (_placed(sample, data, role, getattr(config, role)) for role in ("state", "actions"))
    relations = relate([dim for dim in actions if dim], [dim for dim in state if dim], sample)
    found = list(_swapped(config.state, config.actions, relations))
    kind, sure, why = action_type(relations)
    if not found and kind != config.action_type and sure in ("medium", "high"):
        found.append(f"action_type is {config.action_type}; the actions look {kind}: {why}")
    for dim in fmt.relative_dims:
        if dim >= min(len(state), len(actions)) or (action := actions[dim]) is None:
            continue
        if reason := _unlike(action, state[dim], sample):
            found.append(f"delta_mask makes actions {action.name} relative to the state: {reason}")
    grippers = [dim.name for dim in actions if dim and dim.gripper]
    told = all(dim and dim.named for dim in state) or len(state) < len(actions)
    if grippers and told and not any(dim and dim.gripper for dim in state):
        found.append(f"actions {', '.join(grippers)}: the state has no gripper, so the policy cannot see what it holds")
    return found


def _placed(sample: Sample, data: LeRobotData, role: str, sources: Sequence[Source]) -> list[Dim | None]:
    """Return a role's dims in the order of its encoded vector; None for those that are no single dim of the data."""
    described = describe(sample, data.features, role, list(dict.fromkeys(source.key for source in sources)))
    placed: list[Dim | None] = []
    for source in sources:
        own = [dim for dim in described if dim.key == source.key][slice(*(source.dims or (None,)))]
        placed += [None] * ROT6D_DIMS if source.rotation else own
    return [dim and replace(dim, place=place) for place, dim in enumerate(placed)]


def _swapped(state: Sequence[Source], actions: Sequence[Source], relations: Sequence[Relation]) -> Iterator[str]:
    """Yield a sentence if state and actions seem swapped, by their names or because actions lag behind the state."""
    named_action = any(set(words(source.key)[:1]) & set(ACTIONS) for source in state)
    if named_action and any(source.key in STATES for source in actions):
        yield "state and actions are swapped, by the names of their keys"
        return
    steps = [r.beta for r in relations if r.verdict == "absolute" and r.by == "data" and r.beta is not None]
    if steps and np.median(steps) < BACKWARDS:
        yield "actions come after the state: each is where the state was a step before. Are the two swapped?"


def _unlike(action: Dim | None, state: Dim | None, sample: Sample) -> str | None:
    """Return why `state` should not be subtracted from `action`; None if there is no reason."""
    if action is None or state is None:
        return None
    if action.gripper:
        return f"it is a gripper ({action.gripper}), which openpi keeps as it is"
    judged = relation(action, state, "place", sample)
    if judged.verdict == "delta" and judged.by == "data" and judged.moves is not None:
        return f"it is an increment already (|r| {abs(judged.moves):.2f} with the state's step)"
    if judged.verdict == "absolute" and not judged.same_units:
        return judged.why
    if judged.follows is not None and abs(judged.follows) < UNRELATED:
        return f"it does not go along with the state's dim there, {state.name} (|r| {abs(judged.follows):.2f})"
    return None
