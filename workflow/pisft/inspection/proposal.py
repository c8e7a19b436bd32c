"""Proposes a format for a dataset: start from `propose(inspection)`."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from pisft.data.transforms.format import clean_prompt, given_names
from pisft.inspection.dims import Dim
from pisft.inspection.look import Inspection
from pisft.inspection.relation import Relation
from pisft.inspection.roles import image_shape, is_camera

LONGEST_CHUNK = 50  # actions in a chunk in the training of π₀ and π₀.₅
SHORTEST_CHUNK = 5
PLACEHOLDER = "do the task"
COLUMNS = 104  # that fit on the page
RANK = ("none", "low", "medium", "high")


@dataclass(frozen=True)
class Proposal:
    """A proposed format: `text` is the YAML file; the rest is its content, for the page."""

    text: str
    action_type: str
    confidence: str
    evidence: str
    delta_mask: list[int]
    action_horizon: int
    needs_prompt: bool
    advice: list[str]


def propose(seen: Inspection) -> Proposal:
    """Propose a format for `seen`, with its reasons as comments."""
    kind, confidence, evidence = action_type(seen.relations)
    relative = _relative(seen.relations) if kind == "absolute" else []
    mask = _notation(relative) if any(relative) else []
    horizon = _horizon(seen)
    empty = [text for text, _ in seen.prompts if not clean_prompt(text)]
    advice = _advice(seen)
    lines = [
        f"# Proposed by scripts/inspect_dataset.py from {_of(seen)} episodes: a start, to be read before it is used.",
        *_features(seen),
        f"fps: {seen.data.fps:g}",
        *_cameras(seen),
        f"state: {_sources(seen, seen.roles.state)}",
        f"actions: {_sources(seen, seen.roles.actions)}",
        *_comment(f"{confidence} confidence: {evidence}"),
        f"action_type: {kind}",
    ]
    if mask:
        kept = [dim.name for dim, yes in zip(seen.actions, relative, strict=True) if not yes]
        said = f"all but {', '.join(kept)} relative to the state" if kept else "all relative to the state"
        lines += [*_comment(said), f"delta_mask: {_flow(mask)}"]
    lines += [f"# {line}" for line in _grippers(seen.actions)]
    quantile = seen.variant == "pi05"
    lines.append(
        f"normalisation: {'quantile' if quantile else 'zscore':<16}# as {'π₀.₅' if quantile else 'π₀'} was trained"
    )
    if quantile:
        lines.append("discrete_state_input: true     # π₀.₅ reads the state in its prompt; false: it does not see it")
    if empty:
        lines += [
            "# WRITE THIS: "
            + ("the dataset has" if len(empty) == len(seen.prompts) else "some episodes have")
            + " no task",
            f"prompt: {{default: {_flow(PLACEHOLDER)}}}",
        ]
    lines.append(
        f"action_horizon: {horizon:<15}# {horizon / seen.data.fps:.2g} s; openpi's last about one, and have at most "
        f"{LONGEST_CHUNK}"
    )
    if (shortest := int(seen.data.episode_lengths.min())) < horizon:
        lines.append(f"short_episodes: repeat         # the shortest has {shortest} frames")
    lines += [line for text in advice for line in _comment(text)]
    text = "\n".join(lines) + "\n"
    return Proposal(text, kind, confidence, evidence, mask, horizon, bool(empty), advice)


def action_type(relations: Sequence[Relation]) -> tuple[str, str, str]:
    """Return the type of most dims that are not grippers, the confidence, and the evidence."""
    judged = [relation for relation in relations if not relation.action.gripper and not relation.action.constant]
    absolute, delta = ([r for r in judged if r.verdict == verdict] for verdict in ("absolute", "delta"))
    chosen, name = (absolute, "absolute") if len(absolute) >= len(delta) else (delta, "delta")
    sure = [r for r in chosen if RANK.index(r.confidence) >= RANK.index("medium")]
    if name == "delta" and absolute:
        chosen, name, sure = absolute, "absolute", []  # absolute dims can still be learnt relative to the state
    if not chosen or (name == "delta" and len(chosen) < 0.8 * len(judged)):
        return "absolute", "no", "the data do not tell targets from increments; find out, and set delta_mask or delta"
    ranks = sorted(RANK.index(r.confidence) for r in chosen)
    word = RANK[min(ranks[len(ranks) // 2], 3 if len(sure) >= 0.8 * len(judged) else 1)]
    said = "go where the state goes next" if name == "absolute" else "are how the state changes"
    reasons = []
    if measured := [r for r in chosen if r.by == "data"]:
        follows, moves, residual = (
            float(np.median([abs(getattr(r, field)) for r in measured])) for field in ("follows", "moves", "residual")
        )
        reasons.append(
            f"{len(measured)} of {len(judged)} dims {said} (median |r| {follows:.2f} with state[t+1], {moves:.2f} with "
            f"state[t+1] − state[t]; residual {residual:.2f})"
        )
    for by, words in (
        ("name", f"{said} by their names"),
        ("look", "are small and centred on zero, and the state dims they belong to are unknown"),
    ):
        if count := sum(r.by == by for r in chosen):
            reasons.append(f"{count} of {len(judged)} dims {words}")
    return name, word, "; ".join(reasons)


def _relative(relations: Sequence[Relation]) -> list[bool]:
    """Return which dims to learn relative to the state: targets with the state in the same place, no gripper, no jumps.

    Dims that move too little to be judged follow the others of their key.
    """

    def possible(r: Relation) -> bool:
        a, s = r.action, r.state
        jumps = a.wraps or a.rotation or (s and (s.wraps or s.rotation or s.gripper))
        return s is not None and s.place == a.place and not (a.gripper or a.switch or jumps)

    surely = [possible(r) and r.same_units for r in relations]
    keys = {r.action.key for r, yes in zip(relations, surely, strict=True) if yes}
    still = [
        r.state is not None and possible(r) and r.action.key in keys and (r.action.flat or r.state.flat)
        for r in relations
    ]
    return [a or b for a, b in zip(surely, still, strict=True)]


def _notation(relative: Sequence[bool]) -> list[int]:
    """Return openpi's notation: [True, True, False] is [2, -1]."""
    runs: list[int] = []
    for yes in relative:
        sign = 1 if yes else -1
        if runs and runs[-1] * sign > 0:
            runs[-1] += sign
        else:
            runs.append(sign)
    return runs


def _horizon(seen: Inspection) -> int:
    """Return about one second, at most the base weights' horizon and the median episode length."""
    second = int(np.clip(round(seen.data.fps), SHORTEST_CHUNK, LONGEST_CHUNK))
    return max(1, min(second, int(np.median(seen.data.episode_lengths))))


def _advice(seen: Inspection) -> list[str]:
    flat = [dim for dim in [*seen.state, *seen.actions] if dim.flat and not dim.constant]
    advice = []
    if flat:
        typical = float(np.median([d.std for d in [*seen.state, *seen.actions] if not d.flat] or [1.0]))
        std = float(f"{0.1 * typical:.0e}")
        names = ", ".join(dict.fromkeys(f"{dim.role} {dim.name}" for dim in flat))
        advice.append(
            f"{names} {'hardly moves' if len(flat) == 1 else 'hardly move'}: in the experiment, say "
            f"`norm_stats: {{min_std: {std:g}, min_range: {4 * std:g}}}`, so that noise is not blown up."
        )
    for relation in seen.relations:
        if relation.verdict == "absolute" and not relation.same_units:
            advice.append(f"actions {relation.action.name} {relation.why}; it cannot be learnt relative to the state.")
        elif relation.same_units and relation.state and relation.state.place != relation.action.place:
            advice.append(
                f"actions {relation.action.name} is dim {relation.action.place}, its state dim {relation.state.place}: "
                "delta_mask needs them in one place; put the state's sources in that order with dims."
            )
    return advice


def _features(seen: Inspection) -> list[str]:
    lines = ["features:"]
    cameras = [key for key, _ in seen.roles.cameras.values()]
    for key in dict.fromkeys([*cameras, *seen.roles.state, *seen.roles.actions]):
        feature = seen.data.features[key]
        if is_camera(feature):
            shape = _flow(image_shape(feature))
            lines.append(f"  {_flow(key)}: {{dtype: {feature['dtype']}, shape: {shape}}}")
            continue
        facts = [] if feature["dtype"] == "float32" else [f"dtype: {feature['dtype']}"]
        facts.append(f"shape: {_flow([math.prod(map(int, feature['shape']))])}")
        names = given_names(feature)
        line = f"  {_flow(key)}: {{{', '.join([*facts, f'names: {_flow(names)}'] if names else facts)}}}"
        if len(line) <= COLUMNS:
            lines.append(line)
        else:
            wrapped = textwrap.wrap(
                ", ".join(_flow(name) for name in names or []), COLUMNS - 12, break_long_words=False
            )
            lines += [f"  {_flow(key)}:", *(f"    {fact}" for fact in facts)]
            lines += [f"    names: [{wrapped[0]}", *(f"            {part}" for part in wrapped[1:])]
            lines[-1] += "]"
    return lines


def _cameras(seen: Inspection) -> list[str]:
    chosen = seen.roles.cameras
    lines = ["cameras:" if chosen else "cameras: {}"]
    width = max((len(f"  {slot}: {_flow(key)}") for slot, (key, _) in chosen.items()), default=0)
    lines += [f"{f'  {slot}: {_flow(key)}':<{width}}  # {why}" for slot, (key, why) in chosen.items()]
    out = [(key, why) for key, why in seen.roles.left_out.items() if is_camera(seen.data.features[key])]
    return lines + [line for key, why in out for line in _comment(f"{key} is left out: {why}", "  ")]


def _grippers(actions: Sequence[Dim]) -> list[str]:
    found = [dim for dim in actions if dim.gripper]
    if not found:
        return ["no dim of the actions looks like a gripper"]
    return [f"gripper: dim {dim.place}, {dim.name} ({dim.gripper})" for dim in found]


def _of(seen: Inspection) -> str:
    read, all_ = len(seen.sample.episodes), seen.data.num_episodes
    return f"all {all_}" if read == all_ else f"{read} of {all_}"


def _sources(seen: Inspection, keys: Sequence[str]) -> str:
    tables = {key for key in keys if len(seen.data.features[key]["shape"]) > 1}
    sources = [{"key": key, "flatten": True} if key in tables else key for key in keys]
    return _flow(sources[0] if sources == list(keys[:1]) else sources)


def _flow(value: Any) -> str:
    """Return YAML on one line, quoted where necessary."""
    return yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).strip()[1:-1]


def _comment(text: str, indent: str = "") -> list[str]:
    """Return wrapped comment lines; text in backticks is not broken."""
    whole = re.sub("`.*?`", lambda code: code[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(whole, COLUMNS, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
    return [line.replace("\0", " ") for line in lines]
