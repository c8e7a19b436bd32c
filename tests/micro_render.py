"""A few frames of MetaWorld, told by what they come to: one line `<name> <sha256>` for each result.

    python tests/micro_render.py

with workflow on the PYTHONPATH. Run it elsewhere, or as `qemu-x86_64 -cpu Haswell python …` (qemu 10 or newer), and
compare: the lines are the same on every processor with the same Mesa.
"""

from __future__ import annotations

import pisft  # noqa: F401 - before numpy, which reads what it sets

# isort: split

import hashlib

import numpy as np
from metaworld_config import simulator
from pisft.config.simulators.metaworld import MetaworldRender
from pisft.simulators.base import open_simulator

STEPS = 20
# the plainest, and all that a configuration may ask for
LOOKS = {
    "plain": {"size": 32, "shadowsize": 0, "offsamples": 0, "reflectance": False},
    "full": {"size": 96, "shadowsize": 1024, "offsamples": 4, "reflectance": True},
}


def sha256(array: np.ndarray) -> str:
    """The hash of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def main() -> None:
    """Print what the first frame and that after some steps come to, and the state of the physics."""
    for name, look in LOOKS.items():
        render = MetaworldRender(camera_position=(1.3, -0.2, 1.1), **look)
        shown = open_simulator(simulator(render=render.model_dump()))
        shown.reset("button-press-topdown", 0)
        print(f"{name}.first", sha256(shown.observation()["observation.image"]), flush=True)
        for _ in range(STEPS):
            shown.step(shown.expert_action())
        print(f"{name}.last", sha256(shown.observation()["observation.image"]), flush=True)
        data = shown._env.data
        print(f"{name}.physics", sha256(np.concatenate([data.qpos, data.qvel, data.xpos.ravel()])))


if __name__ == "__main__":
    main()
