"""diff.json, as a type. Start from `Difference.read_from(folder)`."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from pisft.records.base import Part, Versioned
from pisft.records.evaluation import Interval


class Changed(Part):
    """A value of a key in a and in b; None where one does not have it."""

    key: str
    a: Any
    b: Any


class Shift(Part):
    """The statistics of one dim in a and b (None where one lacks them), how far each moved in standard deviations of a,
    and the largest of the `shifts` as `distance` (None where only one has a statistic)."""

    dim: int
    name: str
    mean: tuple[float | None, float | None]
    std: tuple[float | None, float | None]
    q01: tuple[float | None, float | None]
    q99: tuple[float | None, float | None]
    shifts: dict[str, float | None]
    distance: float | None


class LayerChange(Part):
    """‖b − a‖ / ‖a‖ of a layer's weights, how many there are and how many changed."""

    layer: str
    relative_change: float
    parameters: int
    changed: int


class Reshaped(Part):
    """A tensor of another shape."""

    name: str
    a: list[int]
    b: list[int]


class WeightChanges(Part):
    """Two checkpoints, layer by layer, the largest change first; names of tensors that only one has."""

    same: bool
    layers: list[LayerChange]
    only_a: list[str]
    only_b: list[str]
    reshaped: list[Reshaped]


class Curve(Part):
    """(step, value) of a run."""

    loss: list[tuple[int, float]]
    val_loss: list[tuple[int, float]]


class DimErrors(Part):
    """The action error of a dim; None where one has no such dim."""

    name: str
    a: float | None
    b: float | None


class OpenLoopChange(Part):
    """The open loops of a and b; `of` says for each which episodes it is of."""

    same: bool
    of: tuple[str, str]
    flow_loss: tuple[float, float]
    per_dim: list[DimErrors]


class RateChange(Part):
    """Success rate b − rate a, with its interval and the p of a test."""

    successes: tuple[int, int]
    episodes: tuple[int, int]
    difference: float
    interval95: Interval
    p: float
    test: str
    note: str | None


class Flip(Part):
    """An episode on which one alone succeeded, and where the evaluations filmed it, relative to their run folders."""

    task: str
    seed: int
    videos: tuple[str | None, str | None]


class Flips(Part):
    """Episodes that b won, and that it lost."""

    won: list[Flip]
    lost: list[Flip]


class SuccessChange(Part):
    """`why_not` says why the two cannot be compared, and then the rest is empty; `flips` is None where they did not run
    the same episodes."""

    same: bool
    why_not: str | None = None
    overall: RateChange | None = None
    tasks: dict[str, RateChange] = Field(default_factory=dict)
    flips: Flips | None = None


class Difference(Versioned):
    """What differs between two experiments, and nothing else, but for curves and rates, which are of both."""

    kind: ClassVar[str] = "difference"
    name_of_file: ClassVar[str] = "diff.json"

    a: str
    b: str
    parts: list[Changed]
    config: list[Changed]
    inputs: list[Changed]
    norm_stats: dict[str, list[Shift]]
    weights: WeightChanges | None
    loss: tuple[Curve, Curve]
    open_loop: OpenLoopChange | None
    success: SuccessChange | None
    packages: list[Changed]
    arithmetic: list[Changed] = Field(default_factory=list)
    code: list[Changed]
    commits: list[str]
