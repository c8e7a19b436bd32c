"""`config/simulators/<sim>.yaml`: tasks, suites, caps, render settings and seed ranges of one simulator."""

from __future__ import annotations

import itertools
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from pisft.config.base import Strict


class MetaworldRender(Strict):
    """What the camera sees; recorded with every demonstration and every evaluation, since pixels depend on it."""

    size: PositiveInt = Field(description="side of the square image, pixels")
    camera: str = "corner2"
    camera_position: tuple[float, float, float] = (0.75, 0.075, 0.7)
    rotate_180: bool = True
    shadowsize: NonNegativeInt = Field(description="side of the shadow map, pixels; 0 for no shadows")
    offsamples: NonNegativeInt = Field(description="multisampling of the offscreen buffer")
    reflectance: bool = Field(description="False: no mirror-like surfaces")


class SeedRange(Strict):
    """Seeds `first` to `last`, both included."""

    first: NonNegativeInt
    last: NonNegativeInt


class SimulatorConfig(Strict):
    """One simulator. The seed ranges are disjoint: what is tuned or tested on was never demonstrated."""

    simulator: Literal["metaworld"]
    tasks: dict[str, str] = Field(description="task → the instruction that its policy is given")
    suites: dict[str, list[str]] = Field({}, description="name → tasks")
    max_steps: PositiveInt = Field(description="an episode that has not succeeded by then has failed")
    fps: PositiveInt
    render: MetaworldRender
    seeds: dict[str, SeedRange]

    @model_validator(mode="after")
    def _disjoint_seeds(self):
        ranges = sorted(self.seeds.items(), key=lambda item: item[1].first)
        for name, r in ranges:
            if r.last < r.first:
                raise ValueError(f"seeds.{name}: last {r.last} is before first {r.first}")
        for (a, ra), (b, rb) in itertools.pairwise(ranges):
            if rb.first <= ra.last:
                raise ValueError(f"seeds.{a} ({ra.first}-{ra.last}) and seeds.{b} ({rb.first}-{rb.last}) overlap")
        return self

    @model_validator(mode="after")
    def _known_suite_tasks(self):
        for suite, tasks in self.suites.items():
            for task in tasks:
                if task not in self.tasks:
                    raise ValueError(f"suites.{suite}: '{task}' is not among tasks")
        return self
