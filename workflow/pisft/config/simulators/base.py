"""What every simulator's file says, and what every simulator declares. Start from `SimulatorConfig`."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pisft.config.base import Strict
from pisft.config.format import Feature
from pisft.names import why_no_task


def _task(name: str) -> str:
    if reason := why_no_task(name):
        raise ValueError(f"a task names files: {reason}")
    return name


Task = Annotated[str, AfterValidator(_task)]


class SeedRange(Strict):
    """Seeds `first` to `last`, both included."""

    first: NonNegativeInt
    last: NonNegativeInt


class SimulatorConfig(Strict):
    """One simulator. The seed ranges are disjoint: what is tuned or tested on was never demonstrated."""

    environment: ClassVar[str | None] = None  # its environment's folder under envs/; None: the project's own
    stages: ClassVar[int] = 1  # tasks in an episode
    action_keys: ClassVar[tuple[str, ...]] = ("action",)  # which together make up an action
    robot: ClassVar[str]
    implementation: ClassVar[str]  # module:class, a `pisft.simulators.base.Simulator`
    packages: ClassVar[tuple[str, ...]]  # packages whose versions affect its episodes

    simulator: str
    tasks: dict[Task, str] = Field(description="task → the instruction that its policy is given")
    suites: dict[str, list[str]] = Field({}, description="name → tasks")
    max_steps: PositiveInt | dict[str, PositiveInt] = Field(
        description="an episode that has not succeeded by then has failed; one number, or one for each suite"
    )
    fps: PositiveInt
    seeds: dict[str, SeedRange]
    timeout_s: PositiveFloat = Field(
        300, description="a process that simulates one chunk for longer hangs: it is replaced and its episodes repeated"
    )

    def cap(self, task: str) -> int:
        """Return the maximal number of steps of an episode of `task`."""
        if isinstance(self.max_steps, int):
            return self.max_steps
        return max(self.max_steps[suite] for suite, tasks in self.suites.items() if task in tasks)

    def own(self) -> dict[str, Any]:
        """Return the settings that only this simulator has, such as `render`."""
        return self.model_dump(mode="json", exclude=set(SimulatorConfig.model_fields))

    @property
    def longest(self) -> int:
        """The maximal number of steps of any episode."""
        return self.max_steps if isinstance(self.max_steps, int) else max(self.max_steps.values())

    def cameras(self) -> dict[str, str]:
        """Return the simulator's own camera behind each image of an observation."""
        raise NotImplementedError

    def features(self) -> dict[str, Feature]:
        """Return the features, in LeRobot's terms, of observations (except `task`) and actions."""
        raise NotImplementedError

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

    @model_validator(mode="after")
    def _a_cap_a_suite(self):
        if isinstance(self.max_steps, dict) and self.max_steps.keys() != self.suites.keys():
            raise ValueError(f"max_steps: one for each of the suites is expected, {', '.join(self.suites)}")
        return self


def image(height: int, width: int) -> Feature:
    """Return the feature of a camera."""
    return Feature(dtype="video", shape=[height, width, 3], names=["height", "width", "channels"])


def vector(*names: str) -> Feature:
    """Return a feature with one float32 for each name."""
    return Feature(shape=[len(names)], names=list(names))
