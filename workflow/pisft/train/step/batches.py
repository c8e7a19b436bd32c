"""Makes the micro-batches of a step: frames, noise and time; later steps are prepared while one is trained on.

Start from `Batches.ahead`. A batch is a function of (seed, step) alone: micro-batches only divide it.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pisft.config.experiment import Resolved
from pisft.data.loading.sampling import batch_indices, noise_and_time
from pisft.data.loading.training_set import TrainingSet
from pisft.model import Observation
from pisft.train.distribution.world import World
from pisft.train.step.augment import augment, draw


@dataclass(frozen=True)
class Batch:
    """B samples with K draws of noise and time each."""

    observation: Observation
    actions: Tensor  # (B, H, A)
    noise: Tensor  # (B, K, H, A)
    time: Tensor  # (B, K)
    augmentation: Tensor | None = None  # (B, augment.DRAWS)

    def __len__(self) -> int:
        return len(self.actions)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`."""
        if device.type == "cpu":
            return replace(self, observation=self.observation.to(device))

        def moved(x: Tensor) -> Tensor:
            return x.pin_memory().to(device, non_blocking=True)

        return Batch(
            self.observation.pin_memory().to(device),
            moved(self.actions),
            moved(self.noise),
            moved(self.time),
            None if self.augmentation is None else moved(self.augmentation),
        )

    def augmented(self) -> Observation:
        """Return the observation, with augmented images if the batch has draws for them."""
        if self.augmentation is None:
            return self.observation
        return replace(self.observation, images=augment(self.observation.images, self.augmentation))


def make_batch(
    frames: TrainingSet,
    indices: np.ndarray,
    seed: int,
    step: int,
    places: np.ndarray,
    draws: int,
    augmented: bool = False,
    longest: int = 0,
) -> Batch:
    """Make a batch of frames `indices` (B,), with prompts padded to at least `longest` tokens.

    Noise, time and augmentation are drawn for their `places` (B,) in the global batch of `step`.
    """
    observation, actions = frames.batch(indices, longest)
    noise, time = noise_and_time(seed, step, places, draws, *actions.shape[1:])
    augmentation = torch.from_numpy(draw(seed, step, places)) if augmented else None
    return Batch(observation, actions, torch.from_numpy(noise), torch.from_numpy(time), augmentation)


def default_workers(processes: int) -> int:
    """Return the number of worker threads of one of `processes` on this machine: its share of the cores, 1 to 4."""
    return max(1, min(4, len(os.sched_getaffinity(0)) // processes))


class Batches:
    """The training batches of an experiment, this rank's part of each."""

    def __init__(self, config: Resolved, frames: TrainingSet, weights: list[float], world: World):
        self.train, self.frames, self.weights, self.world = config.train, frames, weights, world
        self.workers = config.cluster.workers or default_workers(config.cluster.gpus_per_node)
        self.micro_batch_size = config.cluster.micro_batch_size or config.train.global_batch_size

    def indices(self, step: int) -> np.ndarray:
        """Return the training frames of step `step` (from 0), over all ranks, (global_batch_size,)."""
        return batch_indices(self.train.seed, step, self.train.global_batch_size, self.frames.sizes, self.weights)

    def make(self, step: int) -> list[Batch]:
        """Make this rank's micro-batches of step `step` (from 0)."""
        indices = self.indices(step)
        mine = self.world.share(len(indices))
        places = np.arange(len(indices))[mine]
        cuts = range(self.micro_batch_size, len(places), self.micro_batch_size)
        # one shape for all ranks and micro-batches: it compiles once, and no rank waits for another to compile
        longest = self.frames.longest_prompt(indices)
        train, draws = self.train, self.train.flow_samples_per_prefix
        return [
            make_batch(self.frames, i, train.seed, step, p, draws, train.augment, longest).to(self.world.device)
            for i, p in zip(np.split(indices[mine], cuts), np.split(places, cuts), strict=True)
        ]

    def ahead(self, first: int, end: int) -> Iterator[list[Batch]]:
        """Yield the batches of steps `first` up to, without, `end`; each worker prepares a later one meanwhile."""
        executor = ThreadPoolExecutor(self.workers, "batches")
        try:
            steps = iter(range(first, end))
            making = deque(executor.submit(self.make, step) for step in itertools.islice(steps, self.workers))
            while making:
                batch = making.popleft().result()
                making.extend(executor.submit(self.make, step) for step in itertools.islice(steps, 1))
                yield batch
        finally:
            executor.shutdown(cancel_futures=True)
