"""Closed loop: a policy acts in a simulator. Start from `rollout`.

Episodes run in lockstep groups of `batch_size`, each in a fixed row of every inference of its group; rows whose
episode has ended, or that the last group leaves empty, repeat an observation. A batched policy gives other bits for
other batch shapes, so the batch size is part of the protocol; how many processes simulate is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from pisft.config.simulator import SimulatorConfig
from pisft.progress import bar
from pisft.simulators.base import Simulator
from pisft.simulators.pool import Pool


class Actor(Protocol):
    """What acts: `pisft.evaluate.policy.Policy`, or anything like it."""

    noise_shape: tuple[int, int]  # (H, A)

    def infer(self, observations: Sequence[dict[str, Any]], noise: np.ndarray) -> Sequence[np.ndarray]:
        """A chunk of robot actions (H, d) for each of B observations, from noise (B, H, A)."""


@dataclass(frozen=True)
class Episode:
    """What came of one; `actions` (steps, d) are those that were executed."""

    task: str
    seed: int
    success: bool
    steps: int
    actions: np.ndarray


def rollout(
    simulator: SimulatorConfig,
    episodes: Sequence[tuple[str, int]],
    policy: Actor,
    *,
    replan_steps: int,
    batch_size: int,
    seed: int,
    workers: int,
) -> list[Episode]:
    """Run `episodes`, (task, seed) each, and return what came of them in this order.

    `seed` is that of the policy's noise. Raises `SimulatorError`.
    """
    results: list[Episode] = []
    with (
        Pool(simulator, min(workers, batch_size)) as pool,
        bar(len(episodes), "rollouts", "episode") as progress,
    ):
        for group in batched(episodes, batch_size):
            results += _run_group(pool, group, policy, replan_steps, batch_size, seed, progress)
    return results


def noise(seed: int, task: str, episode_seed: int, replan: int, shape: tuple[int, int]) -> np.ndarray:
    """Standard normal float32 (H, A) of an episode's inference number `replan`, a function of the arguments alone."""
    key = hashlib.sha256(repr((seed, task, episode_seed, replan)).encode()).digest()[:16]
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key)))
    return generator.standard_normal(shape, dtype=np.float32)


def begin(simulator: Simulator, task: str, seed: int) -> dict[str, Any]:
    """In a worker: start an episode; returns its first observation."""
    simulator.reset(task, seed)
    return simulator.observation()


def advance(simulator: Simulator, actions: np.ndarray) -> tuple[bool, bool, int, dict[str, Any] | None]:
    """In a worker: execute actions; returns (done, success, steps, observation, or None where none is needed)."""
    simulator.step(actions)
    observation = None if simulator.done else simulator.observation()
    return simulator.done, simulator.success, simulator.steps, observation


def _run_group(
    pool: Pool,
    group: Sequence[tuple[str, int]],
    policy: Actor,
    replan_steps: int,
    batch_size: int,
    seed: int,
    progress: tqdm,
) -> list[Episode]:
    seen = pool.run(begin, dict(enumerate(group)))
    rows = [seen.get(slot, seen[0]) for slot in range(batch_size)]
    executed: list[list[np.ndarray]] = [[] for _ in group]
    ended: dict[int, Episode] = {}
    replan = 0
    while len(ended) < len(group):
        draws = np.zeros((batch_size, *policy.noise_shape), np.float32)
        for slot, (task, episode_seed) in enumerate(group):
            draws[slot] = noise(seed, task, episode_seed, replan, policy.noise_shape)
        chunks = policy.infer(rows, draws)
        live = [slot for slot in range(len(group)) if slot not in ended]
        for slot in live:
            executed[slot].append(np.asarray(chunks[slot][:replan_steps], np.float32))
        answers = pool.run(advance, {slot: (executed[slot][-1],) for slot in live})
        for slot, (done, success, steps, observation) in answers.items():
            if done:
                actions = np.concatenate(executed[slot])[:steps]
                ended[slot] = Episode(*group[slot], success, steps, actions)
                progress.update()
            else:
                rows[slot] = observation
        replan += 1
    return [ended[slot] for slot in range(len(group))]
