"""Describes each dim of state and actions: its spread, whether it is a gripper, and what looks wrong.

Start from `describe(sample, features, role, keys)`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisft.data.statistics.health import NARROW_RANGE, OUTLIER, TINY_STD
from pisft.data.transforms.format import feature_names, given_names
from pisft.inspection.sample import Sample

GRIPPER = re.compile("grip|finger|claw|jaw|pinch")
FEW = 3  # most distinct values of a switch
AT_ENDS = 0.8  # least share of a gripper's values that are near one end or the other
NEAR_END = 0.15  # of the range
CLIPPED = 0.05  # least share of values at one extreme of a clipped dim, or near each end of a gripper's range
TURNS = {"radians": (2 * np.pi, 0.35), "degrees": (360.0, 20.0)}  # unit → (full turn, tolerance)
LEVEL = 0.01  # of the typical spread in a role, below which a dim is flat


@dataclass
class Dim:
    """One dim: `index` in its `key`, `place` among all dims of its role ("state" or "actions")."""

    role: str
    key: str
    index: int
    place: int
    name: str
    named: bool
    values: np.ndarray = field(repr=False)
    mean: float = 0.0
    std: float = 0.0
    low: float = 0.0
    high: float = 0.0
    q01: float = 0.0
    q50: float = 0.0
    q99: float = 0.0
    distinct: int = 0
    gripper: str | None = None  # why it seems to be one
    wraps: str | None = None  # the unit of an angle that jumps by a full turn
    rotation: str | None = None  # the kind of rotation that it is part of
    flat: bool = False  # constant, or nearly so
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def constant(self) -> bool:
        """Whether it has one value everywhere."""
        return self.low == self.high

    @property
    def switch(self) -> bool:
        """Whether it has a few values, but more than one."""
        return 1 < self.distinct <= FEW


def describe(sample: Sample, features: Mapping[str, Any], role: str, keys: Sequence[str]) -> list[Dim]:
    """Return the dims of `keys`, concatenated as in a format."""
    dims: list[Dim] = []
    for key in keys:
        values, names = sample.values[key], given_names(features[key])
        called = names or feature_names(key, features[key])
        for index in range(values.shape[1]):
            dim = Dim(role, key, index, len(dims), called[index], bool(names), values[:, index].astype(np.float64))
            _measure(dim)
            dims.append(dim)
    for dim in dims:
        _gripper(dim, len(dims))
        _look(dim, sample)
    _flat(dims)
    _quaternions(dims)
    _rotations(dims)
    _twins(dims)
    return dims


def _measure(dim: Dim) -> None:
    finite = dim.values[np.isfinite(dim.values)]
    if len(finite):
        dim.mean, dim.std = float(finite.mean()), float(finite.std())
        dim.low, dim.high = float(finite.min()), float(finite.max())
        dim.q01, dim.q50, dim.q99 = (float(q) for q in np.quantile(finite, (0.01, 0.5, 0.99)))
        dim.distinct = len(np.unique(finite))


def _gripper(dim: Dim, width: int) -> None:
    """Detect a gripper by name; an unnamed dim if it is the last of an arm and bimodal, or between 0 and 1."""
    own = f"{dim.name} {dim.key if not dim.named else ''}".lower()
    if match := GRIPPER.search(own):
        dim.gripper = f"'{match[0]}' in its name"
        return
    ends = {width - 1} | ({width // 2 - 1} if width >= 12 and width % 2 == 0 else set())
    if dim.named or dim.constant or dim.place not in ends:
        return
    if dim.switch:
        dim.gripper = f"last of its arm, {dim.distinct} values"
        return
    near = NEAR_END * (dim.high - dim.low)
    below, above = (dim.values <= dim.low + near).mean(), (dim.values >= dim.high - near).mean()
    if below + above >= AT_ENDS and min(below, above) >= CLIPPED:
        dim.gripper = f"last of its arm, {100 * (below + above):.0f} % of the values near one end or the other"
    elif dim.low >= -0.05 and dim.high <= 1.05:
        dim.gripper = f"last of its arm, from {dim.low:.2g} to {dim.high:.2g}"


def _look(dim: Dim, sample: Sample) -> None:
    values = dim.values
    finite = np.isfinite(values)
    if not finite.all():
        count, first = int((~finite).sum()), int((~finite).argmax())
        dim.errors.append(
            f"{count} value{'s' if count > 1 else ''} not finite, the first in {sample.place(first)}: training refuses "
            "it; fix it or leave the episode out"
        )
    if dim.constant:
        dim.notes.append(f"is {dim.low:.4g} in every frame")
        return
    if dim.switch and not dim.gripper:
        dim.notes.append(f"takes {dim.distinct} values only: a switch? it is left absolute")
    steps = np.diff(values)[~sample.last[:-1]]
    for unit, (turn, tolerance) in TURNS.items():
        jumps = int((np.abs(np.abs(steps) - turn) < tolerance).sum())
        if jumps and 0.85 * turn < dim.high - dim.low < 1.05 * turn and not dim.switch:
            dim.wraps = unit
            dim.notes.append(f"an angle in {unit} that jumps by a whole turn {jumps} times")
    spread = dim.q99 - dim.q01
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(2 * (values - dim.q01) / spread - 1)
    if spread > 0 and np.nanmax(size) > OUTLIER:
        worst = int(np.nanargmax(size))
        dim.notes.append(
            f"outliers: {values[worst]:.4g} in {sample.place(worst)}, while 98 % lie in {dim.q01:.3g} to {dim.q99:.3g}"
        )
    if not dim.gripper and not dim.switch:
        shares = {end: float((values == end).mean()) for end in (dim.low, dim.high)}
        ends = [f"{100 * share:.0f} % exactly {end:.4g}" for end, share in shares.items() if share >= CLIPPED]
        if ends:
            dim.notes.append(f"{' and '.join(ends)}, its {'ends' if len(ends) > 1 else 'end'}: clipped, or at rest")


def _flat(dims: list[Dim]) -> None:
    typical = float(np.median([dim.std for dim in dims if not dim.constant and not dim.switch] or [0.0]))
    for dim in dims:
        narrow = dim.std < max(TINY_STD, LEVEL * typical) or dim.q99 - dim.q01 < NARROW_RANGE
        dim.flat = dim.constant or (narrow and not dim.switch)
        if dim.flat and not dim.constant:
            dim.notes.append(
                f"hardly moves: std {dim.std:.2g}, q99 − q01 {dim.q99 - dim.q01:.2g}; normalising blows its noise up"
            )


def _quaternions(dims: list[Dim]) -> None:
    """Detect four consecutive dims whose norm is 1 in every frame."""
    for first in range(len(dims) - 3):
        four = dims[first : first + 4]
        if len({dim.key for dim in four}) > 1 or any(dim.rotation for dim in four):
            continue
        length = np.sqrt(sum(dim.values**2 for dim in four))
        if np.abs(length - 1).max() < 1e-3 and sum(dim.flat for dim in four) < 3:
            kind = "quaternion_wxyz" if words_of(four[0])[-1:] == ["w"] else "quaternion_xyzw"
            known = words_of(four[0])[-1:] in (["w"], ["x"])
            for dim in four:
                dim.rotation = kind
            four[0].notes.append(
                f"with the next three of length 1: a quaternion; {'' if known else 'if the last is its real part, '}"
                f"`rotation: {kind}` makes it six numbers without jumps"
            )


def _rotations(dims: list[Dim]) -> None:
    """Detect three angles by name."""
    for first in range(len(dims) - 2):
        three = dims[first : first + 3]
        kinds = [words_of(dim)[-1:] for dim in three]
        if kinds == [["roll"], ["pitch"], ["yaw"]] and any(dim.wraps for dim in three):
            for dim in three:
                dim.rotation = "rpy"
            three[0].notes.append(
                "with the next two roll, pitch and yaw, which jump: `rotation: rpy` makes six numbers without jumps "
                "(radians)"
            )


def _twins(dims: list[Dim]) -> None:
    moving = [dim for dim in dims if not dim.constant]
    for i, dim in enumerate(moving):
        for other in moving[:i]:
            scale = 1e-6 * max(abs(dim.low), abs(dim.high))
            for sign, word in ((1, "the same as"), (-1, "the negative of")):
                if np.allclose(dim.values, sign * other.values, rtol=0, atol=scale, equal_nan=True):
                    dim.notes.append(f"is {word} {other.name} in every frame")


def words_of(dim: Dim) -> list[str]:
    """Return the words of a dim's name: `left_joint_1` is left, joint; a quaternion's `qw` is w; `dx` is x."""
    found = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", dim.name)]
    return [re.sub(r"^[dq](?=(x|y|z|w|roll|pitch|yaw)$)", "", word) for word in found]
