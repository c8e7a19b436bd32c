"""What a simulator is to the rest of pi-sft: start from `Simulator`, and `open_simulator` for a real one."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from pisft.config.simulator import SimulatorConfig
from pisft.errors import PisftError


class SimulatorError(PisftError):
    """A simulator that cannot run here, or did something that it must not."""


class Simulator(Protocol):
    """One episode at a time. What happens in it is a function of (task, seed, actions), whatever ran before."""

    success: bool  # of the episode so far
    steps: int  # actions executed in it

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode."""

    def step(self, actions: np.ndarray) -> None:
        """Execute actions (n, d) one by one; stops early at success and at the cap, see `done`."""

    @property
    def done(self) -> bool:
        """The episode has succeeded or reached the cap."""

    def observation(self) -> dict[str, Any]:
        """What a policy sees, in the keys of the simulator's datasets: images uint8 (H, W, 3), vectors float32, `task`.

        The only place where what a policy sees is rendered: it costs more than a step.
        """

    def picture(self, size: int) -> np.ndarray:
        """What a person sees, uint8 (size, size, 3): with shadows and smooth edges."""

    def expert_action(self) -> np.ndarray:
        """What the scripted expert would do now, float32 (d,)."""


def open_simulator(config: SimulatorConfig) -> Simulator:
    """The simulator that `config.simulator` names; importing it takes a second, so it is done here."""
    from pisft.simulators.metaworld import Metaworld

    return Metaworld(config)
