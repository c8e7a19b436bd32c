"""Decides whether actions are targets (absolute) or increments (delta): start from `relate(actions, state, sample)`.

A target says where the state goes: a[t] = s[t] + β (s[t+1] − s[t]), whatever the controller's gain 1/β. An increment
says how it changes: a[t] = β (s[t+1] − s[t]), whatever its unit. So a[t] is fitted as α s[t] + β (s[t+1] − s[t]) + γ,
over all frames of all sampled episodes except their last ones, and α distinguishes the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pisft.inspection.dims import TURNS, Dim, words_of
from pisft.inspection.roles import stem
from pisft.inspection.sample import Sample

ENOUGH = 30  # least number of pairs of frames for a fit
CENTRED = 0.1  # of q99 − q01: the largest distance of a centred dim's median from zero
NOT_OF_THE_QUANTITY = {"delta", "rel", "target", "goal", "cmd", "command", "pos", "action", "state", "observation"}


@dataclass(frozen=True)
class Relation:
    """How one action dim relates to the state dim of the same quantity, if there is one.

    follows: correlation of a[t] with s[t+1]; moves: with s[t+1] − s[t]; residual: std of a[t] − s[t+1] over that of a;
    fit: R² of the fit above; alpha, beta: its coefficients. None if they could not be computed.
    """

    action: Dim
    state: Dim | None
    paired: str | None
    follows: float | None = None
    moves: float | None = None
    residual: float | None = None
    fit: float | None = None
    alpha: float | None = None
    beta: float | None = None
    centred: bool = False
    verdict: str = "unknown"  # absolute, delta or unknown
    confidence: str = "none"  # high, medium, low or none
    why: str = ""
    by: str = "data"  # data, name or look: what the verdict is based on

    @property
    def same_units(self) -> bool:
        """Whether the state can be subtracted from the action."""
        return self.verdict == "absolute" and self.alpha is not None and _one_to_one(self.alpha)


def relate(actions: Sequence[Dim], state: Sequence[Dim], sample: Sample) -> list[Relation]:
    """Return one relation for each action dim."""
    return [relation(action, *_partner(action, actions, state), sample) for action in actions]


def _partner(action: Dim, actions: Sequence[Dim], state: Sequence[Dim]) -> tuple[Dim | None, str | None]:
    """Match by name; else by place in parts of the same name and width; else by place if all widths agree."""
    if action.named:
        same = [dim for dim in state if dim.named and _quantity(dim) == _quantity(action)]
        if len(same) == 1:
            return same[0], "name"
    widths = [sum(dim.key == key for dim in dims) for dims in (actions, state) for key in [action.key]]
    part = [dim for dim in state if stem(dim.key) == stem(action.key)]
    if stem(action.key) and len(part) == widths[0]:
        return part[action.index], "part"
    if len(actions) == len(state):
        return state[action.place], "place"
    return None, None


def _quantity(dim: Dim) -> tuple[str, ...]:
    return tuple(word for word in words_of(dim) if word not in NOT_OF_THE_QUANTITY)


def relation(action: Dim, state: Dim | None, paired: str | None, sample: Sample) -> Relation:
    """Relate an action dim to the state dim that it is `paired` with (by name, part or place)."""
    a = action.values[:-1][~sample.last[:-1]]
    spread = action.q99 - action.q01
    centred = spread > 0 and abs(action.q50) <= CENTRED * spread and action.q01 < 0 < action.q99
    if action.constant or action.switch:
        return Relation(action, state, paired, why="constant" if action.constant else "a switch")
    if state is None:
        return _unpaired(Relation(action, None, None, centred=centred))
    now, after = state.values[:-1][~sample.last[:-1]], state.values[1:][~sample.last[:-1]]
    step = after - now
    if state.wraps:
        turn = TURNS[state.wraps][0]
        step = (step + turn / 2) % turn - turn / 2
        whole = np.abs(a - now) < turn / 2  # state and action are on the same side of the jump
    else:
        whole = np.ones(len(a), bool)
    good = np.isfinite(a) & np.isfinite(now) & np.isfinite(step) & whole
    a, now, step, after = a[good], now[good], step[good], after[good]
    if len(a) < ENOUGH or min(a.std(), now.std(), step.std()) < 1e-9:
        return _unpaired(Relation(action, state, paired, centred=centred), "the state's dim does not move")
    columns = np.stack([now - now.mean(), step - step.mean()], 1)
    scales = columns.std(0)
    solution = np.linalg.lstsq(columns / scales, a - a.mean(), rcond=None)[0]
    alpha, beta = (float(x) for x in solution / scales)
    fit = float(1 - (a - a.mean() - columns @ (alpha, beta)).var() / a.var())
    facts = {
        "follows": float(np.corrcoef(a, after)[0, 1]),
        "moves": float(np.corrcoef(a, step)[0, 1]),
        "residual": float((a - after).std() / a.std()),
        "fit": fit,
        "alpha": alpha,
        "beta": beta,
        "centred": centred,
    }
    verdict, confidence, why = _judge(facts, abs(alpha) * now.std() / a.std())
    if verdict == "unknown":
        return _unpaired(Relation(action, state, paired, **facts), why)
    return Relation(action, state, paired, **facts, verdict=verdict, confidence=confidence, why=why)


def _judge(facts: dict[str, float], share: float) -> tuple[str, str, str]:
    """Return verdict, confidence and, if those do not explain themselves, why.

    `share` is the fraction of the action's spread that the state alone explains.
    """
    alpha, fit = facts["alpha"], facts["fit"]
    if _one_to_one(alpha) and share >= 0.3 and fit >= 0.8:
        return "absolute", "high" if fit >= 0.95 else "medium", ""
    if share >= 0.3 and fit >= 0.9 and abs(facts["follows"]) > 0.9:
        return "absolute", "medium", f"goes along with the state {alpha:.3g} to one: in other units"
    if abs(facts["moves"]) >= 0.6 and abs(facts["follows"]) < 0.6:
        sure = "high" if abs(facts["moves"]) >= 0.8 else "medium"
        return "delta", sure, ""
    return "unknown", "none", "goes along with neither the state nor its steps"


def _one_to_one(alpha: float) -> bool:
    return 0.8 <= alpha <= 1.2


def _unpaired(relation: Relation, why: str = "no state dim of the same name or place") -> Relation:
    """Judge by the name, else by the values alone."""
    action = relation.action
    facts = {**relation.__dict__, "why": why}
    if {"delta", "rel"} & set(words_of(action)) or _short_delta(action) or "delta" in action.key.lower():
        return Relation(
            **{**facts, "verdict": "delta", "confidence": "medium", "by": "name", "why": f"by its name; {why}"}
        )
    if (
        relation.centred
        and not action.gripper
        and max(abs(action.q01), abs(action.q99)) <= 1
        and relation.state is None
    ):
        return Relation(**{**facts, "verdict": "delta", "confidence": "low", "by": "look", "why": "small, about zero"})
    return Relation(**facts)


def _short_delta(dim: Dim) -> bool:
    return dim.name.lower() in {f"d{axis}" for axis in ("x", "y", "z", "roll", "pitch", "yaw")}
