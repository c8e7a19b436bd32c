"""The functions that a worker runs with its simulator, called through `pisft.simulators.pool`.

Start from `begin` and `advance`. Imports only what every simulator's own environment has.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pisft.atomic import new_file
from pisft.simulators.base import Simulator

Cameras = Collection[str] | None  # keys of the images to render; None for all
PERSISTENCE = 0.95  # of the disturbance from one step to the next


class Progress(NamedTuple):
    """The progress of an episode; `observation` is None once it is done."""

    done: bool
    success: bool
    completed: int
    steps: int
    observation: dict[str, Any] | None


def begin(simulator: Simulator, task: str, seed: int, cameras: Cameras = None) -> dict[str, Any]:
    """Start an episode; returns its first observation."""
    simulator.reset(task, seed)
    return simulator.observation(cameras)


def advance(simulator: Simulator, actions: np.ndarray, cameras: Cameras = None) -> Progress:
    """Execute actions (n, d); returns the episode's progress."""
    simulator.step(actions)
    observation = None if simulator.done else simulator.observation(cameras)
    return Progress(simulator.done, simulator.success, simulator.completed, simulator.steps, observation)


def repeat(
    simulator: Simulator, task: str, seed: int, chunks: Sequence[np.ndarray], cameras: Cameras = None
) -> Progress:
    """Replay an episode whose simulator was lost; returns what `advance` returns for the last of `chunks` (n, d)."""
    simulator.reset(task, seed)
    for actions in chunks[:-1]:
        simulator.step(actions)
    return advance(simulator, chunks[-1], cameras)


def demonstrate(simulator: Simulator, task: str, seed: int, path: Path, noise: float = 0.0) -> bool:
    """Run the expert and write its observations and actions at each step to `path`; returns whether it succeeded.

    With `noise`, the executed action is disturbed by an autoregressive process of that standard deviation, and the
    recorded one is not (M. Laskey et al., DART: noise injection for robust imitation learning, CoRL 2017).
    """
    simulator.reset(task, seed)
    rng, disturbance = np.random.default_rng(seed), 0.0
    (key,) = simulator.config.action_keys
    frames: dict[str, list] = {}
    while not simulator.done:
        frame = simulator.observation() | {key: simulator.expert_action()}
        for name, value in frame.items():
            frames.setdefault(name, []).append(value)
        action = frame[key]
        if noise:
            fresh = rng.standard_normal(len(action)) * noise
            disturbance = PERSISTENCE * disturbance + (1 - PERSISTENCE**2) ** 0.5 * fresh
            action = np.asarray(action + disturbance, np.float32)
        simulator.step(action)
    arrays = {key: np.stack(values) for key, values in frames.items()} if simulator.success else {}
    try:
        with new_file(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, success=simulator.success, **arrays)  # pyright: ignore[reportArgumentType] no key is allow_pickle
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    return simulator.success


def replay(
    simulator: Simulator, task: str, seed: int, actions: np.ndarray, stride: int
) -> tuple[list[np.ndarray], tuple[bool, int]]:
    """Return (images of an episode, (success, steps) of this replay).

    Images are taken before, after every `stride`-th and after the last of its actions (n, d).
    """
    simulator.reset(task, seed)
    images = [simulator.render()]
    for i in range(0, len(actions), stride):
        simulator.step(actions[i : i + stride])
        images.append(simulator.render())
    return images, (simulator.success, simulator.steps)
