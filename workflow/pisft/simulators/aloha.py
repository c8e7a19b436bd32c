"""gym-aloha's two ViperX arms: start from `Aloha(config)`. Runs in envs/aloha.

Three cameras; `observation.state` and an action are the measured and the target joints of the left, then the right arm,
six angles (rad) and the gripper (0 closed, 1 open) each. gym-aloha's own environment renders three images of 480 × 640
at every step and keeps the cube's pose in a global variable, so only its models, constants and rewards are used.
"""
# What it imports is installed in envs/aloha alone.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from pisft.config.simulators.aloha import AlohaConfig
from pisft.simulators import gl
from pisft.simulators.base import RENDER_SIZE, Counted, SimulatorError

gl.choose()

from dm_control import mujoco  # noqa: E402
from dm_control.rl import control  # noqa: E402
from gym_aloha.constants import ASSETS_DIR, DT, START_ARM_POSE  # noqa: E402
from gym_aloha.tasks.sim import TransferCubeTask  # noqa: E402
from gym_aloha.utils import sample_box_pose  # noqa: E402

from pisft.simulators.aloha_expert import plan  # noqa: E402

SHOWN = "angle"


class Aloha(Counted):
    """See `pisft.simulators.base.Simulator`."""

    config: AlohaConfig

    def reset(self, task: str, seed: int) -> None:
        """Make a new environment each time, so that the solver keeps nothing of the previous episode."""
        if task != "transfer_cube":
            raise SimulatorError(f"gym-aloha here has the task transfer_cube, not '{task}'")
        self.begin(task)
        self._task = _TransferCube(sample_box_pose(seed))
        physics = mujoco.Physics.from_xml_path(str(ASSETS_DIR / "bimanual_viperx_transfer_cube.xml"))
        look = self.config.render
        physics.model.vis.quality.shadowsize = look.shadowsize
        physics.model.vis.quality.offsamples = look.offsamples
        self._env = control.Environment(physics, self._task, float("inf"), control_timestep=DT)
        self._env.reset()
        self._plan: np.ndarray | None = None

    def act(self, action: np.ndarray) -> bool:
        """Execute target joints (14,) float32; the task is done when the left gripper holds the cube off the table."""
        self._env.step(action.astype(np.float64))
        return self._task.get_reward(self._env.physics) == self._task.max_reward

    def observation(self, cameras: Collection[str] | None = None) -> dict[str, Any]:
        """See `Simulator.observation`: cameras, and `observation.state`, the measured joints (14,)."""
        look = self.config.render
        images = {key: self._draw(camera, look.height, look.width) for key, camera in self.asked(cameras).items()}
        state = self._task.get_qpos(self._env.physics).astype(np.float32)
        return {**images, "observation.state": state, "task": self.config.tasks[self.task]}

    def render(self) -> np.ndarray:
        """Render gym-aloha's view for people, see `Simulator.render`."""
        return self._draw(SHOWN, RENDER_SIZE, RENDER_SIZE)

    def expert_action(self) -> np.ndarray:
        """Return the next target joints (14,) of a plan made at the start of the episode."""
        if self._plan is None:
            self._plan = plan(self._env.physics.copy(share_model=True), self._task.box)
        return self._plan[min(self.steps, len(self._plan) - 1)]

    def _draw(self, camera: str, height: int, width: int) -> np.ndarray:
        return self._env.physics.render(height=height, width=width, camera_id=camera)


class _TransferCube(TransferCubeTask):
    """gym-aloha's task, with the box at a given pose (x, y, z and a quaternion) and no rendering at each step."""

    def __init__(self, box: np.ndarray):
        super().__init__(random=0)
        self.box = box

    def initialize_episode(self, physics: Any) -> None:
        with physics.reset_context():
            physics.named.data.qpos[:16] = START_ARM_POSE
            np.copyto(physics.data.ctrl, START_ARM_POSE)
            physics.named.data.qpos[-7:] = self.box
        super(TransferCubeTask, self).initialize_episode(physics)

    def get_observation(self, _physics: Any) -> dict[str, Any]:
        return {}
