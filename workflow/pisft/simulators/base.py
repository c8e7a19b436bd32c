"""What a simulator is to the rest of pi-sft: start from `Simulator`, and `open_simulator` for a real one."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

import numpy as np

from pisft.config.simulator import SimulatorConfig
from pisft.errors import PisftError

PICTURE_SIZE = 240  # pixels a side


class SimulatorError(PisftError):
    """A simulator that cannot run here, or did something that it must not."""


class Failed(NamedTuple):
    """The last answer of a process whose simulator raised what nobody expected; `why` is its traceback's last line."""

    why: str


class Simulator(Protocol):
    """One episode at a time. What happens in it is a function of (task, seed, actions), whatever ran before."""

    config: SimulatorConfig
    success: bool  # of the episode so far
    completed: int  # of the `config.stages` tasks that make up the episode
    steps: int  # actions executed in it

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode."""

    def step(self, actions: np.ndarray) -> None:
        """Execute actions (n, d) one by one; stops early at success and at the cap, see `done`."""

    @property
    def done(self) -> bool:
        """The episode has succeeded or reached the cap."""
        ...

    def observation(self, cameras: Collection[str] | None = None) -> dict[str, Any]:
        """What a policy sees, in the keys of the simulator's datasets: images uint8 (H, W, 3), vectors float32, `task`.

        The only place where what a policy sees is rendered, which costs more than a step: `cameras` are the keys of the
        pictures that it looks at, all by default.
        """
        ...

    def picture(self) -> np.ndarray:
        """What a person sees, uint8 (PICTURE_SIZE, PICTURE_SIZE, 3): with shadows and smooth edges."""
        ...

    def expert_action(self) -> np.ndarray:
        """What the scripted expert would do now, float32 (d,)."""
        ...

    def close(self) -> None:
        """Let go of what the episode holds; the next `reset` does it too."""


def open_simulator(config: SimulatorConfig) -> Simulator:
    """The simulator that `config.simulator` names; importing it takes seconds, so it is done here."""
    module, _, name = config.implementation.partition(":")
    return getattr(importlib.import_module(module), name)(config)


class Counted:
    """What every simulator keeps of an episode. A base for theirs, which say what one action does."""

    _env: Any = None  # the simulator's own environment, of this episode

    def __init__(self, config: SimulatorConfig):
        self.config = config
        self.begin("")

    def begin(self, task: str) -> None:
        """Forget the episode before."""
        self.task, self.success, self.completed, self.steps = task, False, 0, 0

    def close(self) -> None:
        """See `Simulator.close`. What has scenes or contexts to give back calls this before it builds the next one."""
        if self._env is not None:
            self._env.close()
        self._env = None

    def asked(self, cameras: Collection[str] | None) -> list[str]:
        """The keys of those pictures that `cameras` has, of all where it is None."""
        pictures = [key for key, feature in self.config.features().items() if feature.is_picture]
        return [key for key in pictures if cameras is None or key in cameras]

    def step(self, actions: np.ndarray) -> None:
        """See `Simulator.step`."""
        for action in np.atleast_2d(actions).astype(np.float32):
            if self.done:
                return
            self.success = bool(self.act(action))
            self.completed = int(self.success)
            self.steps += 1

    def act(self, action: np.ndarray) -> bool:
        """Execute one action (d,); returns whether the task is done now."""
        raise NotImplementedError

    @property
    def done(self) -> bool:
        """See `Simulator.done`."""
        return self.success or self.steps >= self.config.cap(self.task)
