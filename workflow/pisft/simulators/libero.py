"""LIBERO by openpi's protocol: start from `Libero(config)`. Runs in envs/libero.

`image` and `wrist_image` are the two cameras rotated by 180°, as in openpi's datasets; `state` is the hand's position
(m), its rotation (axis-angle, rad) and the two finger joints; an action is the hand's displacement and rotation and the
gripper, each in [-1, 1]. A seed is the number of one of LIBERO's initial states of a task; from it the scene settles
for `settle_steps` before the policy sees it.
"""
# What it imports is installed in envs/libero alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pisft.config.simulators.libero import LiberoConfig
from pisft.simulators import gl
from pisft.simulators.base import RENDER_SIZE, Counted, SimulatorError

gl.choose()

ASSETS = "lerobot/libero-assets"
CACHE = Path.home() / ".cache/libero/assets"  # where LIBERO expects them
STILL = np.array([0, 0, 0, 0, 0, 0, -1.0])
SEED = 7  # openpi's, for what LIBERO randomises besides the initial state


class Libero(Counted):
    """See `pisft.simulators.base.Simulator`. There is no scripted expert."""

    config: LiberoConfig

    def reset(self, task: str, seed: int) -> None:
        """Begin at LIBERO's initial state number `seed`, after `settle_steps` without motion, as openpi does.

        Raises `SimulatorError` for a seed that the task has no state for.
        """
        self.begin(task)
        _check_assets()
        env = _package().envs.env_wrapper
        states = initial_states(task)
        if seed >= len(states):
            raise SimulatorError(f"{task}: found seed {seed}; LIBERO has initial states 0 to {len(states) - 1}")
        self.close()
        self._env = env.ControlEnv(
            bddl_file_name=str(_folder("bddl_files", task).with_suffix(".bddl")),
            use_camera_obs=False,
            has_offscreen_renderer=True,
        )
        self._env.seed(SEED)
        self._env.reset()
        self._seen = self._env.set_init_state(states[seed])
        for _ in range(self.config.settle_steps):
            self._seen, _, _, _ = self._env.step(STILL)

    def act(self, action: np.ndarray) -> bool:
        """Execute one action (7,), clipped to [−1, 1]; returns whether the goal is reached."""
        self._seen, _, _, _ = self._env.step(np.clip(action, -1.0, 1.0).astype(np.float64))
        return bool(self._env.check_success())

    def observation(self, cameras: Collection[str] | None = None) -> dict[str, Any]:
        """See `Simulator.observation`; `state` (8,) is the hand's position (m) and axis-angle (rad) and two fingers."""
        size = self.config.render.size
        hand = self._seen["robot0_eef_pos"], _axis_angle(self._seen["robot0_eef_quat"])
        return {
            **{key: self._draw(camera, size) for key, camera in self.asked(cameras).items()},
            "state": np.r_[(*hand, self._seen["robot0_gripper_qpos"])].astype(np.float32),
            "task": self.config.tasks[self.task],
        }

    def render(self) -> np.ndarray:
        """Render the agent view, unmirrored, see `Simulator.render`."""
        return self._draw("agentview", RENDER_SIZE)[:, ::-1]

    def expert_action(self) -> np.ndarray:
        """Raise `SimulatorError`: there is no expert."""
        raise SimulatorError("LIBERO has no scripted expert; its demonstrations are datasets of the hub")

    def _draw(self, camera: str, size: int) -> np.ndarray:
        pixels = self._env.env.sim.render(camera_name=camera, width=size, height=size)
        return np.ascontiguousarray(pixels[::-1, ::-1])


def initial_states(task: str) -> np.ndarray:
    """Return MuJoCo's state at the start of each episode of `<suite>/<name>`, (50, n) float64.

    Runs no code in the file.
    """
    import torch
    from numpy._core import multiarray

    rebuild = multiarray._reconstruct
    allowed = [(rebuild, "numpy.core.multiarray._reconstruct"), np.ndarray, np.dtype, np.dtypes.Float64DType]
    path = _folder("init_files", task).with_suffix(".pruned_init")
    if not path.is_file():
        raise SimulatorError(f"LIBERO has no task '{task}' ({path} is missing); fix tasks in its configuration")
    with torch.serialization.safe_globals(allowed):
        return torch.load(path, weights_only=True)


def _folder(kind: str, task: str) -> Path:
    root = Path(_package().__file__).parent
    return root / kind / task


@cache
def _package() -> Any:
    """Import `libero.libero`, which would ask on stdin if its configuration did not exist."""
    from importlib.util import find_spec

    spec = find_spec("libero")
    if spec is None or spec.origin is None:
        raise SimulatorError("LIBERO is not installed here; it runs in envs/libero")
    root = Path(spec.origin).parent / "libero"
    if "LIBERO_CONFIG_PATH" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="libero-"))
        kinds = {"benchmark_root": "", "bddl_files": "bddl_files", "init_states": "init_files", "assets": "assets"}
        lines = [f"{key}: {root / kind}\n" for key, kind in kinds.items()]
        (folder / "config.yaml").write_text("".join([*lines, f"datasets: {folder}\n"]))
        os.environ["LIBERO_CONFIG_PATH"] = str(folder)
    import libero.libero
    import libero.libero.envs.env_wrapper

    return libero.libero


def _check_assets() -> None:
    inside = Path(_package().__file__).parent / "assets"
    if not (inside.is_dir() or (CACHE / "articulated_objects").is_dir()):
        raise SimulatorError(
            f"LIBERO's meshes and textures are not on this machine ({CACHE} is missing or incomplete); fetch them: "
            f"hf download {ASSETS} --repo-type dataset --local-dir {CACHE}"
        )


def _axis_angle(q: np.ndarray) -> np.ndarray:
    """Convert a quaternion (x, y, z, w) to axis-angle, rad, as robosuite's quat2axisangle: the angle is in [0, 2π)."""
    w = min(1.0, max(-1.0, float(q[3])))
    sine = math.sqrt(1.0 - w * w)
    return np.zeros(3) if math.isclose(sine, 0.0) else np.asarray(q[:3]) * 2.0 * math.acos(w) / sine
