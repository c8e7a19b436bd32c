"""Closed loop: a policy acts in a simulator. Start from `rollout`.

Episodes run in lockstep groups of `batch_size`, each in a fixed row of every inference of its group; rows whose episode
has ended, or that the last group leaves empty, repeat an observation. A batched policy gives different bits for
different batch shapes, so the batch size is part of the protocol; the number of simulator processes is not. Results are
saved after each group, so that an interrupted evaluation resumes with the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from itertools import batched
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pisft.config.simulators import SimulatorConfig
from pisft.evaluate import partial
from pisft.evaluate.episode import Episode
from pisft.evaluate.finite import finite
from pisft.progress import bar
from pisft.simulators.episodes import advance, begin, repeat
from pisft.simulators.pool import Pool


class Actor(Protocol):
    """The acting policy: `pisft.evaluate.policy.Policy`, or any object with the same interface."""

    noise_shape: tuple[int, int]  # (H, A)

    def infer(self, observations: Sequence[dict[str, Any]], noise: np.ndarray) -> Sequence[np.ndarray]:
        """Return a chunk of robot actions (H, d) for each of B observations, from noise (B, H, A)."""
        ...


def rollout(
    simulator: SimulatorConfig,
    episodes: Sequence[tuple[str, int]],
    policy: Actor,
    *,
    replan_steps: int,
    batch_size: int,
    seed: int,
    workers: int,
    cameras: Collection[str] | None = None,
    state: Path | None = None,
) -> tuple[list[Episode], list[str]]:
    """Run `episodes`, (task, seed) each; returns their results in this order, and how simulator processes were lost.

    `seed` is that of the policy's noise; `cameras` are the keys of the images that it uses, all by default. `state` is
    a folder of this evaluation's own for the saved rollouts: groups found there, with their losses, are not run again.
    An episode whose process is lost, or whose simulator raises, is replayed in another process up to where it was.
    Raises `SimulatorError` and `PolicyError`.
    """
    groups = list(batched(episodes, batch_size))
    results = partial.load(state, groups)
    todo = [number for number in range(len(groups)) if number not in results]
    with bar(len(episodes), "rollouts", "episode") as progress:
        progress.update(sum(len(group.episodes) for group in results.values()))
        if todo:
            with Pool(simulator, min(workers, batch_size)) as pool:
                for number in todo:
                    before, group = len(pool.replaced), groups[number]
                    done = run_group(pool, group, policy, replan_steps, batch_size, seed, cameras, progress.update)
                    results[number] = partial.Group(done, pool.replaced[before:])
                    partial.save(state, number, results[number])
    whole = [results[number] for number in range(len(groups))]
    return [episode for group in whole for episode in group.episodes], [how for group in whole for how in group.lost]


def noise(seed: int, task: str, episode_seed: int, replan: int, shape: tuple[int, int]) -> np.ndarray:
    """Return standard normal float32 (H, A) for inference `replan` of an episode, a function of the arguments alone."""
    key = hashlib.sha256(repr((seed, task, episode_seed, replan)).encode()).digest()[:16]
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key)))
    return generator.standard_normal(shape, dtype=np.float32)


def run_group(
    pool: Pool,
    group: Sequence[tuple[str, int]],
    policy: Actor,
    replan_steps: int,
    batch_size: int,
    seed: int,
    cameras: Collection[str] | None = None,
    ended_one: Callable[[], object] = lambda: None,
) -> list[Episode]:
    """Run one group of at most `batch_size` episodes in an open pool; `ended_one` is called as each ends."""
    seen = pool.run(begin, {slot: (*episode, cameras) for slot, episode in enumerate(group)})
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
            executed[slot].append(_checked(chunks[slot], replan_steps, group[slot], replan))
        answers = pool.run(
            advance,
            {slot: (executed[slot][-1], cameras) for slot in live},
            again=(repeat, {slot: (*group[slot], executed[slot], cameras) for slot in live}),
        )
        for slot, now in answers.items():
            if now.done:
                actions = np.concatenate(executed[slot])[: now.steps]
                ended[slot] = Episode(*group[slot], now.success, now.completed, now.steps, actions)
                ended_one()
            else:
                rows[slot] = now.observation
        replan += 1
    return [ended[slot] for slot in range(len(group))]


def _checked(chunk: np.ndarray, replan_steps: int, episode: tuple[str, int], replan: int) -> np.ndarray:
    """Return the actions of a chunk that are executed; raises `PolicyError` for NaN, on which a simulator may crash."""

    def told(step: int, dim: int) -> str:
        return (
            f"{episode[0]}, seed {episode[1]}: the policy's action at step {replan * replan_steps + step}, dim {dim},"
        )

    return finite(np.asarray(chunk[:replan_steps], np.float32), told)
