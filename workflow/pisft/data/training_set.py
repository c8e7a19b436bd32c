"""A training set in memory: every picture is decoded and resized once, and a batch is a few array look-ups.

Start from `TrainingSet(datasets, preprocessor)`; `batch(indices)` gives what the model takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pisft.data.dataset import LeRobotData
from pisft.data.errors import DataError
from pisft.data.images import resize_with_pad
from pisft.data.preprocess import Item, Preprocessor, observation
from pisft.model import Observation

GIB = 2**30


class TrainingSet:
    """The frames of the chosen episodes of one or several datasets, numbered from 0 in that order."""

    def __init__(
        self,
        datasets: Sequence[LeRobotData],
        preprocessor: Preprocessor,
        episodes: Sequence[Sequence[int]] | None = None,
        memory_budget: int = 4 * GIB,
    ):
        """`episodes` of each dataset, or all; more picture bytes than `memory_budget` are a `DataError`."""
        self.preprocessor = preprocessor
        format, size = preprocessor.format, preprocessor.model.image_size
        chosen = [sorted(e) for e in episodes or [range(data.num_episodes) for data in datasets]]
        self.sizes = [int(data.episode_lengths[e].sum()) for data, e in zip(datasets, chosen, strict=True)]
        needed = sum(self.sizes) * len(format.config.cameras) * 3 * size**2
        if needed > memory_budget:
            raise DataError(
                f"{', '.join(str(data.root) for data in datasets)}: {sum(self.sizes)} frames of "
                f"{len(format.config.cameras)} cameras at {size} pixels take {needed / GIB:.1f} GiB; "
                f"the memory budget is {memory_budget / GIB:.1f} GiB. "
                "Select fewer episodes or use a smaller image_size"
            )
        self.vectors = {key: [] for key in format.vector_keys}
        prompts: list[str] = []
        lengths: list[int] = []
        for data, numbers in zip(datasets, chosen, strict=True):
            rows = np.concatenate([np.arange(data.num_frames)[data.episode_slices[e]] for e in numbers])
            for key, parts in self.vectors.items():
                parts.append(data.column(key)[rows])
            prompts += [data.task(row) for row in rows]
            lengths += data.episode_lengths[numbers].tolist()
        self.vectors = {key: np.concatenate(parts) for key, parts in self.vectors.items()}
        self.tasks = prompts
        self.last_frame = np.repeat(np.cumsum(lengths) - 1, lengths)  # of each frame's episode
        self.images = {slot: np.empty((len(self), 3, size, size), np.uint8) for slot in format.config.cameras}
        for slot, key in format.config.cameras.items():
            self._fill(self.images[slot], key, datasets, chosen)
        self._states = format.state(self.vectors)
        self._actions = format.absolute_actions(self.vectors)
        self._tokens: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return sum(self.sizes)

    def sample(self, index: int) -> dict[str, Any]:
        """Frame `index` in the dataset's own keys; its pictures are resized, its actions a chunk (H, d)."""
        format = self.preprocessor.format
        pictures = {key: self.images[slot][index].transpose(1, 2, 0) for slot, key in format.config.cameras.items()}
        vectors = {source.key: self.vectors[source.key][index] for source in format.config.state}
        chunks = {source.key: self.vectors[source.key][self._chunk(index)] for source in format.config.actions}
        return {**pictures, **vectors, **chunks, "task": self.tasks[index]}

    def item(self, index: int) -> Item:
        """Frame `index`, ready for `collate`; the last action repeats past the end of its episode."""
        return self.preprocessor.item(self.sample(index))

    def longest_prompt(self, indices: np.ndarray) -> int:
        """Tokens of the longest prompt among the frames `indices`."""
        return max(len(self._prompt(index, self._states[index])) for index in np.asarray(indices))

    def batch(self, indices: np.ndarray, longest: int = 0) -> tuple[Observation, torch.Tensor]:
        """(observation, actions (B, H, D)) of the frames `indices`: `collate` of their items, only faster.

        Prompts are padded as if one of them had `longest` tokens.
        """
        indices = np.asarray(indices)
        states = self._states[indices]
        actions = self.preprocessor.format.to_relative(self._actions[self._chunk(indices)], states)
        tokens = [self._prompt(index, state) for index, state in zip(indices, states, strict=True)]
        images = {slot: pictures[indices] for slot, pictures in self.images.items()}
        normalised = self.preprocessor.normalised_actions(actions)
        seen = observation(images, self.preprocessor.normalised_state(states), tokens, longest)
        return seen, torch.from_numpy(normalised)

    def _chunk(self, indices: np.ndarray | int) -> np.ndarray:
        """Frames whose actions make the chunks of `indices`, (..., H)."""
        ahead = np.asarray(indices)[..., None] + np.arange(self.preprocessor.format.action_horizon)
        return np.minimum(ahead, self.last_frame[indices][..., None])

    def _prompt(self, index: int, state: np.ndarray) -> list[int]:
        format, task = self.preprocessor.format, self.tasks[index]
        if format.config.discrete_state_input:
            return self.preprocessor.tokens(format.prompt(task), state)
        if task not in self._tokens:
            self._tokens[task] = self.preprocessor.tokens(format.prompt(task), state)
        return self._tokens[task]

    def _fill(
        self, pictures: np.ndarray, key: str, datasets: Sequence[LeRobotData], chosen: Sequence[Sequence[int]]
    ) -> None:
        row, size = 0, pictures.shape[-1]
        for data, numbers in zip(datasets, chosen, strict=True):
            for _, frames in data.iter_frames(key, numbers):
                for frame in frames:
                    pictures[row] = resize_with_pad(frame, size).transpose(2, 0, 1)
                    row += 1
