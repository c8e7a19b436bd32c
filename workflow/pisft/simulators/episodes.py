"""What a worker does with its simulator, called through `pisft.simulators.pool`. Start from `begin` and `advance`.

Imports no more than a simulator's own environment has.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pisft.simulators.base import Simulator

Cameras = Collection[str] | None  # the keys of the pictures that are looked at; all of them, where there are none
PERSISTENCE = 0.95  # of a disturbance from one step to the next


class Progress(NamedTuple):
    """Of an episode; `observation` is None where none is needed, since it is done."""

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
    """Execute actions (n, d)."""
    simulator.step(actions)
    observation = None if simulator.done else simulator.observation(cameras)
    return Progress(simulator.done, simulator.success, simulator.completed, simulator.steps, observation)


def repeat(
    simulator: Simulator, task: str, seed: int, chunks: Sequence[np.ndarray], cameras: Cameras = None
) -> Progress:
    """An episode over again, whose simulator was lost: what `advance` gives for the last of `chunks` (n, d)."""
    simulator.reset(task, seed)
    for actions in chunks[:-1]:
        simulator.step(actions)
    return advance(simulator, chunks[-1], cameras)


def demonstrate(simulator: Simulator, task: str, seed: int, path: Path, noise: float = 0.0) -> bool:
    """Let the expert try, write what it saw and did at each step to `path`; True if it succeeded.

    With `noise`, what is executed is disturbed by an autoregressive process of that standard deviation, and what is
    recorded is not (M. Laskey et al., DART: noise injection for robust imitation learning, CoRL 2017).
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
    temporary = path.with_suffix(".tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, success=simulator.success, **arrays)  # pyright: ignore[reportArgumentType] no key is allow_pickle
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    return simulator.success


def replay(
    simulator: Simulator, task: str, seed: int, actions: np.ndarray, stride: int
) -> tuple[list[np.ndarray], tuple[bool, int]]:
    """(pictures of an episode, before, after every `stride`-th and after the last of its actions (n, d); what it came
    to this time, (success, steps))."""
    simulator.reset(task, seed)
    pictures = [simulator.picture()]
    for i in range(0, len(actions), stride):
        simulator.step(actions[i : i + stride])
        pictures.append(simulator.picture())
    return pictures, (simulator.success, simulator.steps)
