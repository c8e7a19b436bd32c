"""CALVIN's chains of five tasks: start from `Calvin(config)`. Runs in envs/calvin.

An episode is one of the thousand sequences that CALVIN generates; its number is the seed. The instruction changes when
a task is done, and an episode ends when a task was not done within its steps. The vectors are those of the format
pi05_calvin: the hand's position (m) and Euler angles (rad) and the gripper (-1 or 1); an action is their change, in
CALVIN's scale. Not run by its authors: CALVIN is on no package index; see docs/simulators.md.
"""
# What it imports is installed in envs/calvin alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pisft.config.simulators.calvin import CalvinConfig
from pisft.simulators.base import RENDER_SIZE, Counted, SimulatorError

SEQUENCES = 1000  # CALVIN generates all of them from one seed


class Calvin(Counted):
    """See `pisft.simulators.base.Simulator`; `task` names the split, `seed` the sequence."""

    config: CalvinConfig

    def reset(self, task: str, seed: int) -> None:
        """Begin the chain number `seed`: its initial state and five tasks."""
        from calvin_agent.evaluation.utils import get_env_state_for_initial_condition

        self.begin(task)
        start, self._chain = _sequences()[seed]
        robot, scene = get_env_state_for_initial_condition(start)
        if self._env is None:  # made once: it has its own PyBullet connection, and its reset sets the whole scene
            self._env = _environment()
        self._env.reset(robot_obs=robot, scene_obs=scene)
        self._began, self._before = 0, self._env.get_info()

    def act(self, action: np.ndarray) -> bool:
        """Execute one action (7,), whose last number opens (> 0) or closes the gripper; done after the whole chain."""
        _, _, _, now = self._env.step(np.r_[action[:6], 1.0 if action[6] > 0 else -1.0])
        if _oracle().get_task_info_for_set(self._before, now, {self._chain[self.completed]}):
            self.completed += 1
            self._began, self._before = self.steps + 1, now
        return self.completed == len(self._chain)

    def step(self, actions: np.ndarray) -> None:
        """See `Simulator.step`; `completed` counts tasks of the chain."""
        for action in np.atleast_2d(actions).astype(np.float32):
            if self.done:
                return
            self.success = self.act(action)
            self.steps += 1

    @property
    def done(self) -> bool:
        """Whether the chain is complete, or the current task has had its steps."""
        return self.success or self.steps - self._began >= self.config.subtask_steps

    def observation(self, cameras: Collection[str] | None = None) -> dict[str, Any]:
        """See `Simulator.observation`; `task` is the current task's instruction."""
        seen = self._env.get_obs()
        robot = np.asarray(seen["robot_obs"], np.float32)
        return {
            **{key: seen["rgb_obs"][camera] for key, camera in self.asked(cameras).items()},
            "state.ee_pos": robot[:3],
            "state.ee_rot": robot[3:6],
            "state.gripper": robot[14:15],
            "task": _instructions()[self._chain[min(self.completed, len(self._chain) - 1)]][0],
        }

    def render(self) -> np.ndarray:
        """Return the static camera scaled by nearest neighbours, see `Simulator.render`."""
        pixels = self._env.get_obs()["rgb_obs"]["rgb_static"]
        rows, columns = (np.linspace(0, side - 1, RENDER_SIZE).astype(int) for side in pixels.shape[:2])
        return pixels[rows][:, columns]

    def expert_action(self) -> np.ndarray:
        """Raise `SimulatorError`: there is no expert."""
        raise SimulatorError("CALVIN has no scripted expert; its demonstrations are a dataset of the hub")


@cache
def _root() -> Path:
    """Return CALVIN's own checkout, which holds its configuration and a data split."""
    root = os.environ.get("CALVIN_ROOT")
    if root is None or not (Path(root) / "calvin_models/conf").is_dir():
        raise SimulatorError(
            f"CALVIN_ROOT is {root!r}; expected CALVIN's checkout, with calvin_models/conf and dataset/: "
            "see docs/simulators.md"
        )
    return Path(root)


def _environment() -> Any:
    from calvin_env.envs.play_table_env import get_env

    return get_env(_root() / "dataset/calvin_debug_dataset/validation", show_gui=False)


@cache
def _sequences() -> list:
    from calvin_agent.evaluation.multistep_sequences import get_sequences

    return get_sequences(SEQUENCES)


@cache
def _oracle() -> Any:
    import hydra
    from omegaconf import OmegaConf

    config = OmegaConf.load(_root() / "calvin_models/conf/callbacks/rollout/tasks/new_playtable_tasks.yaml")
    return hydra.utils.instantiate(config)


@cache
def _instructions() -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.load(_root() / "calvin_models/conf/annotations/new_playtable_validation.yaml")
