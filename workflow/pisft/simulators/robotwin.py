"""RoboTwin 2.0 through lerobot's wrapper: start from `Robotwin(config)`. Runs in envs/robotwin.

The three cameras have an ALOHA's names; `observation.state` and an action are the joints of the left, then the right
arm, six angles (rad) and the gripper each. RoboTwin renders all cameras at every step. Not run by its authors: it needs
an NVIDIA GPU and assets of the hub; see docs/simulators.md.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from pisft.config.simulators.robotwin import RobotwinConfig
from pisft.simulators.base import RENDER_SIZE, Counted, SimulatorError


class Robotwin(Counted):
    """See `pisft.simulators.base.Simulator`. RoboTwin's experts record datasets by its own scripts."""

    config: RobotwinConfig

    def reset(self, task: str, seed: int) -> None:
        """Make a new environment and begin an episode in it."""
        from lerobot.envs.robotwin import RoboTwinEnv

        self.begin(task)
        self.close()
        look = self.config.render
        # one step more than the limit here: at its own limit the wrapper starts the next episode by itself
        self._env = RoboTwinEnv(
            task,
            camera_names=tuple(self.config.cameras().values()),
            observation_height=look.height,
            observation_width=look.width,
            episode_length=self.config.cap(task) + 1,
        )
        self._seen, _ = self._env.reset(seed=seed)

    def act(self, action: np.ndarray) -> bool:
        """Execute target joints (14,); returns whether the task is done."""
        self._seen, _, _, _, info = self._env.step(action)
        return bool(info["is_success"])

    def observation(self, cameras: Collection[str] | None = None) -> dict[str, Any]:
        """See `Simulator.observation`: cameras, and `observation.state`, the joints (14,)."""
        pixels = self._seen["pixels"]
        images = {key: pixels[camera] for key, camera in self.asked(cameras).items()}
        state = np.asarray(self._seen["agent_pos"], np.float32)
        return {**images, "observation.state": state, "task": self.config.tasks[self.task]}

    def render(self) -> np.ndarray:
        """Return the high camera scaled by nearest neighbours, see `Simulator.render`."""
        pixels = self._seen["pixels"][next(iter(self.config.cameras().values()))]
        rows, columns = (np.linspace(0, side - 1, RENDER_SIZE).astype(int) for side in pixels.shape[:2])
        return pixels[rows][:, columns]

    def expert_action(self) -> np.ndarray:
        """Raise `SimulatorError`: there is no expert."""
        raise SimulatorError("RoboTwin has experts of its own, run by its scripts; its demonstrations are on the hub")
