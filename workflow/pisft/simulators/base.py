"""The interface of every simulator: start from `Simulator`, and `open_simulator` to create one."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any, NamedTuple, Protocol

import numpy as np

from pisft.config.simulators import SimulatorConfig
from pisft.errors import PisftError

RENDER_SIZE = 240  # side of `Simulator.render`, pixels


class SimulatorError(PisftError):
    """A simulator cannot run here, or misbehaved."""


class Failed(NamedTuple):
    """The last answer of a process whose simulator raised an unexpected error; `why` is its traceback's last line."""

    why: str


class Simulator(Protocol):
    """Runs one episode at a time, which is a function of (task, seed, actions) alone, whatever ran before."""

    config: SimulatorConfig
    success: bool  # whether the episode has succeeded
    completed: int  # tasks done, of the `config.stages` in the episode
    steps: int  # actions executed in the episode

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode."""

    def step(self, actions: np.ndarray) -> None:
        """Execute actions (n, d) one by one; stops early at success and at the step limit, see `done`."""

    @property
    def done(self) -> bool:
        """Whether the episode has succeeded or reached the step limit."""
        ...

    def observation(self, cameras: Collection[str] | None = None) -> dict[str, Any]:
        """Return a policy's observation: images uint8 (H, W, 3), vectors float32, `task`, in the datasets' keys.

        Only this renders a policy's images, which costs more than a step: `cameras` are the keys of the images that it
        uses, all by default.
        """
        ...

    def render(self) -> np.ndarray:
        """Render a view for people, uint8 (RENDER_SIZE, RENDER_SIZE, 3), with shadows and antialiasing."""
        ...

    def expert_action(self) -> np.ndarray:
        """Return the scripted expert's action now, float32 (d,)."""
        ...

    def close(self) -> None:
        """Release the episode's resources; the next `reset` does it too."""


def open_simulator(config: SimulatorConfig) -> Simulator:
    """Create the simulator that `config.simulator` names; imports it here, which takes seconds."""
    module, _, name = config.implementation.partition(":")
    return getattr(importlib.import_module(module), name)(config)


class Counted:
    """Base class that counts an episode's steps and successes; subclasses define what one action does."""

    _env: Any = None  # this episode's environment in the simulator's own library

    def __init__(self, config: SimulatorConfig):
        self.config = config
        self.begin("")

    def begin(self, task: str) -> None:
        """Reset the counters for a new episode of `task`."""
        self.task, self.success, self.completed, self.steps = task, False, 0, 0

    def close(self) -> None:
        """See `Simulator.close`. Simulators that hold scenes or contexts call this before creating the next one."""
        if self._env is not None:
            self._env.close()
        self._env = None

    def asked(self, cameras: Collection[str] | None) -> dict[str, str]:
        """Return the simulator's own camera behind each image that `cameras` contains, or behind all if it is None."""
        return {key: name for key, name in self.config.cameras().items() if cameras is None or key in cameras}

    def step(self, actions: np.ndarray) -> None:
        """See `Simulator.step`."""
        for action in np.atleast_2d(actions).astype(np.float32):
            if self.done:
                return
            self.success = bool(self.act(action))
            self.completed = int(self.success)
            self.steps += 1

    def act(self, action: np.ndarray) -> bool:
        """Execute one action (d,); returns whether the task is done."""
        raise NotImplementedError

    @property
    def done(self) -> bool:
        """See `Simulator.done`."""
        return self.success or self.steps >= self.config.cap(self.task)
