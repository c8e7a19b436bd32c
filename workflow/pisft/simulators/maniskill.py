"""ManiSkill 3's table-top tasks with a Panda arm: start from `Maniskill(config)`. Runs in envs/maniskill.

`observation.images.top` is the task's own camera; `observation.state` is the hand's position (m), its rotation from
pointing straight down (rotation vector, rad) and the gripper's opening (0 to 1), all relative to the robot's base; an
action is the hand's displacement (±1 is 0.1 m) and rotation (±1 is 0.1 rad) and the gripper (-1 closed, 1 open), as the
controller `pd_ee_delta_pose` takes it. The expert is ManiSkill's own motion planning, converted to such actions by
ManiSkill; physics runs on the CPU, the only backend that is exactly reproducible.
"""
# What it imports is installed in envs/maniskill alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import warnings
from collections.abc import Collection
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pisft.config.simulators.maniskill import ManiskillConfig
from pisft.simulators.base import RENDER_SIZE, Counted, SimulatorError

ICD = "/usr/share/vulkan/icd.d/lvp_icd.json"
os.environ.setdefault("LP_NUM_THREADS", "0")  # the parallelism is in the processes
INSTALL = (
    "ManiSkill needs Vulkan, also for physics alone. Without a GPU: Mesa's lavapipe, 25 or newer (Debian 12: "
    "apt-get install -t bookworm-backports mesa-vulkan-drivers libvulkan1), and render.device: cpu; with one: its "
    "driver's Vulkan and render.device: gpu"
)
DOWN = np.array([0.0, 1.0, 0.0, 0.0])  # (w, x, y, z) of a hand that points straight down
OPEN = 0.04  # m, position of each finger when open
CONTROL = "pd_ee_delta_pose"


class Maniskill(Counted):
    """See `pisft.simulators.base.Simulator`."""

    config: ManiskillConfig

    def reset(self, task: str, seed: int) -> None:
        """Build a new scene, since contacts of the previous episode would affect the last bits."""
        self.begin(task)
        self.close()
        self._env = self._environment(CONTROL)
        self._env.reset(seed=seed, options={"reconfigure": True})
        self._seed, self._plan = seed, None

    def act(self, action: np.ndarray) -> bool:
        """Execute one action (7,), clipped to [−1, 1]; returns whether the task is done."""
        _, _, _, _, info = self._env.step(np.clip(action, -1.0, 1.0))
        return bool(info["success"])

    def observation(self, cameras: Collection[str] | None = None) -> dict[str, Any]:
        """See `Simulator.observation`."""
        return {
            **{key: self._draw(camera) for key, camera in self.asked(cameras).items()},
            "observation.state": self._state(),
            "task": self.config.tasks[self.task],
        }

    def render(self) -> np.ndarray:
        """Render ManiSkill's camera for people, see `Simulator.render`."""
        return self._env.render_rgb_array()[0].cpu().numpy()

    def expert_action(self) -> np.ndarray:
        """Return the next action (7,) of a plan made at the start of the episode; after its end, hold still."""
        if self._plan is None:
            self._plan = self._planned()
        if self.steps >= len(self._plan):  # the plan ended without success: hold still
            return np.array([0, 0, 0, 0, 0, 0, self._plan[-1][6] if self._plan else 1.0], np.float32)
        return self._plan[self.steps]

    def _draw(self, name: str) -> np.ndarray:
        env = self._env
        env.scene.update_render(update_sensors=True, update_human_render_cameras=False)
        camera = env.scene.sensors[name]
        camera.capture()
        image = camera.get_obs(rgb=True, depth=False, position=False, segmentation=False)["rgb"][0]
        return image.cpu().numpy()

    def _state(self) -> np.ndarray:
        hand = self._env.agent.robot.pose.sp.inv() * self._env.agent.tcp.pose.sp
        opening = float(self._env.agent.robot.qpos[0, -1]) / OPEN
        return np.r_[hand.p, _rotation_vector(hand.q), opening].astype(np.float32)

    def _planned(self) -> list[np.ndarray]:
        """Return the expert's actions from the start of this episode; empty if planning fails."""
        from mani_skill.trajectory.utils.actions.conversion import from_pd_joint_pos_to_ee

        with closing(self._environment("pd_joint_pos")) as env:
            planner = _Recorder(env)
            if _solution(self.task)(planner, seed=self._seed) == -1:
                return []
            env.reset(seed=self._seed)
            with closing(self._environment(CONTROL)) as acting:
                actor = _Recorder(acting)
                acting.reset(seed=self._seed)
                from_pd_joint_pos_to_ee(CONTROL, planner.actions, env, actor)
        return [np.clip(action, -1.0, 1.0).astype(np.float32) for action in actor.actions]

    def _environment(self, control: str) -> Any:
        """Create a new environment; none is shared, since each holds the state of its episode."""
        import gymnasium
        import mani_skill.envs  # noqa: F401  registers the tasks

        logging.getLogger("mani_skill").setLevel(logging.ERROR)

        look = self.config.render
        try:
            env = gymnasium.make(
                self.task,
                obs_mode="none",
                reward_mode="none",
                control_mode=control,
                render_mode="rgb_array",
                sim_backend="physx_cpu",
                render_backend=_device(look.device),
                enable_shadow=look.shadows,
                sensor_configs={"width": look.size, "height": look.size},
                human_render_camera_configs={"width": RENDER_SIZE, "height": RENDER_SIZE},
            )
        except gymnasium.error.NameNotFound as error:
            raise SimulatorError(
                f"ManiSkill has no task '{self.task}'; fix tasks in the simulator's configuration"
            ) from error
        return env.unwrapped


class _Recorder:
    """Wraps an environment and records its actions."""

    def __init__(self, env: Any):
        self.env, self.actions = env, []

    @property
    def unwrapped(self) -> Any:
        return self.env

    def reset(self, **arguments) -> Any:
        return self.env.reset(**arguments)

    def step(self, action: Any) -> Any:
        self.actions.append(np.asarray(action, np.float32).reshape(-1))
        return self.env.step(action)


def _solution(task: str) -> Any:
    """Return ManiSkill's motion planning for a task, such as `solvePushCube` for PushCube-v1."""
    solutions = importlib.import_module("mani_skill.examples.motionplanning.panda.solutions")
    name = f"solve{task.partition('-v')[0]}"
    if not hasattr(solutions, name):
        known = sorted(solution.removeprefix("solve") for solution in dir(solutions) if solution.startswith("solve"))
        raise SimulatorError(f"ManiSkill plans no motions for '{task}'; it does for {', '.join(known)}")
    return getattr(solutions, name)


def _rotation_vector(q: np.ndarray) -> np.ndarray:
    """Return the rotation vector (rad) from DOWN to the quaternion q (w, x, y, z)."""
    from transforms3d.quaternions import qinverse, qmult, quat2axangle

    turn = qmult(q, qinverse(DOWN))
    axis, angle = quat2axangle(turn if turn[0] >= 0 else -turn)
    return axis * angle


@cache
def _device(device: str) -> str:
    """Return ManiSkill's name of a renderer, after checking that Vulkan works."""
    warnings.filterwarnings("ignore", module="mani_skill|gymnasium")
    if device == "cpu" and "VK_ICD_FILENAMES" not in os.environ and Path(ICD).is_file():
        os.environ["VK_ICD_FILENAMES"] = ICD
    try:
        ctypes.CDLL("libvulkan.so.1")
    except OSError as error:
        raise SimulatorError(f"libvulkan.so.1 is not installed. {INSTALL}") from error
    import sapien

    name = "cpu" if device == "cpu" else "cuda:0"
    try:
        sapien.render.RenderSystem(sapien.Device(name))
    except RuntimeError as error:
        raise SimulatorError(f"no Vulkan device '{device}' can render ({error}). {INSTALL}") from error
    return "cpu" if device == "cpu" else "gpu"
