"""MetaWorld v3 with the keys of lerobot's datasets: start from `Metaworld(config)`.

`observation.image` is camera corner2, rotated by 180° since MetaWorld mounts it upside down; `observation.state` is the
hand's x, y, z (m) and the gripper's opening (0 to 1); an action is the hand's displacement and the gripper's effort,
each in [-1, 1]. One process may hold many: they share one renderer for each task, which binds its own OpenGL context
for every frame (with gymnasium's renderer, the frames of a second environment in a process are garbage).
"""
# The names of mujoco are those of a compiled module, which has no stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import atexit
import contextlib
import copy
import warnings
from collections.abc import Collection
from functools import cache, lru_cache
from typing import Any

import numpy as np

from pisft.config.simulators.metaworld import MetaworldConfig, MetaworldRender
from pisft.simulators import gl
from pisft.simulators.base import RENDER_SIZE, Counted, SimulatorError

gl.choose()

import mujoco  # noqa: E402
from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # noqa: E402
from metaworld.policies import ENV_POLICY_MAP  # noqa: E402

# The experts' actions are known to exceed [-1, 1]: they are clipped, as MetaWorld does.
warnings.filterwarnings("ignore", "Constant\\(s\\) may be too high", module="metaworld.policies")

# Render settings for people: nearly the result of MetaWorld's own settings, in half the time.
SHOWN = {"shadowsize": 1024, "offsamples": 4, "reflectance": True}


class Metaworld(Counted):
    """See `pisft.simulators.base.Simulator`."""

    config: MetaworldConfig

    def reset(self, task: str, seed: int) -> None:
        """Make a new environment each time: after MetaWorld's own reset, push still shows the previous goal."""
        self.begin(task)
        self._env = env = _environment(task)()
        env.max_path_length = self.config.cap(task) + 1  # MetaWorld rejects the step that reaches the limit
        # in the simulating model, which places the cameras; the renderer's model only sets the image quality
        env.model.cam_pos[_camera(env.model, self.config.render)] = self.config.render.camera_position
        env.seed(seed)
        self._state, _ = env.reset()
        self._expert = ENV_POLICY_MAP[f"{task}-v3"]()

    def act(self, action: np.ndarray) -> bool:
        """Execute one action (4,), clipped to [−1, 1]; returns whether the task is done."""
        self._state, _, _, _, info = self._env.step(np.clip(action, -1.0, 1.0))
        return info["success"]

    def observation(self, cameras: Collection[str] | None = None) -> dict[str, Any]:
        """See `Simulator.observation`; the state (4,) is the hand's position (m) and how far the gripper is open."""
        return {
            **{key: self._draw(self.config.render) for key in self.asked(cameras)},
            "observation.state": self._state[:4].astype(np.float32),
            "task": self.config.tasks[self.task],
        }

    def render(self) -> np.ndarray:
        """Render the same camera in better quality, see `Simulator.render`."""
        return self._draw(self.config.render.model_copy(update={"size": RENDER_SIZE, **SHOWN}))

    def expert_action(self) -> np.ndarray:
        """Return the action (4,) of MetaWorld's scripted policy, clipped to [−1, 1]."""
        return np.clip(self._expert.get_action(self._state), -1.0, 1.0).astype(np.float32)

    def _draw(self, look: MetaworldRender) -> np.ndarray:
        renderer = _renderer(self.task, look)  # pyright: ignore[reportArgumentType] pydantic gives it a hash
        renderer.update_scene(self._env.data, camera=look.camera)
        image = renderer.render()
        return np.ascontiguousarray(image[::-1, ::-1]) if look.rotate_180 else image


@cache
def _environment(task: str) -> type:
    """Return MetaWorld's class for `task`, compiled once: a new environment copies the model in 15 ms, not 200."""
    base = ALL_V3_ENVIRONMENTS.get(f"{task}-v3")
    if base is None:
        raise SimulatorError(f"MetaWorld has no task '{task}'; fix tasks in the simulator's configuration")

    class Environment(base):
        compiled: mujoco.MjModel | None = None

        def __init__(self):
            super().__init__()
            self._set_task_called = True
            # Draw object positions from its seed, not from numpy's global state.
            self._freeze_rand_vec = False
            self.seeded_rand_vec = True
            # The experts of some tasks need the goal. A policy gets only the first four numbers.
            self._partially_observable = False
            self.__dict__.pop("sawyer_observation_space", None)  # cached while the goal was hidden

        def _initialize_simulation(self):
            if Environment.compiled is None:
                Environment.compiled, _ = super()._initialize_simulation()
            model = copy.copy(Environment.compiled)
            return model, mujoco.MjData(model)

    return Environment


@lru_cache(maxsize=8)  # 100 MB and 0.2 s each
def _renderer(task: str, look: MetaworldRender) -> mujoco.Renderer:
    """Return a renderer for any state of `task`; it has a model of its own, configured before the first frame."""
    model = copy.copy(_environment(task)().model)
    model.vis.quality.shadowsize = look.shadowsize
    model.vis.quality.offsamples = look.offsamples
    model.vis.global_.offwidth = model.vis.global_.offheight = look.size
    if not look.reflectance:
        model.mat_reflectance[:] = 0
    with _opengl_errors():
        renderer = mujoco.Renderer(model, look.size, look.size)
    # Free renderers before OpenGL's own exit handler, which was registered at its first use; handlers run in reverse.
    atexit.register(_renderer.cache_clear)
    return renderer


def _camera(model: mujoco.MjModel, look: MetaworldRender) -> int:
    camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, look.camera)
    if camera < 0:
        names = [model.camera(i).name for i in range(model.ncam)]
        raise SimulatorError(f"render.camera: MetaWorld has no camera '{look.camera}'; valid: {', '.join(names)}")
    return camera


@contextlib.contextmanager
def _opengl_errors():
    try:
        yield
    except (ImportError, RuntimeError, mujoco.FatalError) as error:
        raise SimulatorError(
            f"OpenGL cannot be started ({error}). With a GPU, its driver must bring EGL; without one: "
            "apt-get install libegl1 libosmesa6, and set MUJOCO_GL=osmesa"
        ) from error
