"""A training set: vectors in memory, images in their files; a batch takes a few array look-ups and reads.

Start from `TrainingSet(datasets, preprocessor)`; `batch(indices)` returns the model's inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.frame_store import Images, open_images
from pisft.data.loading.preprocess import Item, Preprocessor, observation
from pisft.model import Observation


class TrainingSet:
    """The frames of the chosen episodes of one or several datasets, numbered from 0 in that order.

    Thread-safe; processes that read the same frame stores share the page cache.
    """

    def __init__(
        self,
        datasets: Sequence[LeRobotData],
        preprocessor: Preprocessor,
        episodes: Sequence[Sequence[int]] | None = None,
        open_camera: Callable[[LeRobotData, str, int], Images] = open_images,
    ):
        """Take `episodes` of each dataset (all by default); `open_camera` opens a camera's images."""
        self.preprocessor = preprocessor
        self.features = datasets[0].features
        fmt, size = preprocessor.format, preprocessor.model.image_size
        chosen = [sorted(e) for e in episodes or [range(data.num_episodes) for data in datasets]]
        rows = [
            np.concatenate([np.asarray(data.rows(e)) for e in numbers]) if numbers else np.zeros(0, np.int64)
            for data, numbers in zip(datasets, chosen, strict=True)
        ]
        lengths = np.concatenate([data.episode_lengths[e] for data, e in zip(datasets, chosen, strict=True)])
        self.sizes = [len(r) for r in rows]
        self.last_frame = np.repeat(np.cumsum(lengths) - 1, lengths)  # last frame of each frame's episode
        self.vectors = {
            key: np.concatenate([data.column(key)[r] for data, r in zip(datasets, rows, strict=True)])
            for key in fmt.vector_keys
        }
        self._states = fmt.state(self.vectors)
        self._actions = fmt.absolute_actions(self.vectors)
        self._tasks = [task for data in datasets for task in data.tasks]
        offsets = np.cumsum([0, *(len(data.tasks) for data in datasets)])[:-1]
        self._task = np.concatenate(
            [data.task_index[r] + offset for data, r, offset in zip(datasets, rows, offsets, strict=True)]
        )
        self._rows = np.concatenate(rows)  # each frame's row in its dataset
        self._dataset = np.repeat(np.arange(len(datasets)), self.sizes)
        self._images = {
            slot: [open_camera(data, key, size) for data in datasets] for slot, key in fmt.config.cameras.items()
        }
        self._tokens: dict[int, list[int]] = {}
        self._prompt_lengths = np.zeros(len(self), np.int32)  # 0 if not computed yet

    def __len__(self) -> int:
        return sum(self.sizes)

    def task(self, index: int) -> str:
        """Return the instruction of a frame."""
        return self._tasks[self._task[index]]

    def sample(self, index: int) -> dict[str, Any]:
        """Return frame `index` in the dataset's own keys; images are resized, actions are a chunk (H, d)."""
        fmt = self.preprocessor.format
        seen = self.images(np.array([index]))
        images = {key: seen[slot][0].transpose(1, 2, 0) for slot, key in fmt.config.cameras.items()}
        vectors = {source.key: self.vectors[source.key][index] for source in fmt.config.state}
        chunks = {source.key: self.vectors[source.key][self._chunk(index)] for source in fmt.config.actions}
        return {**images, **vectors, **chunks, "task": self.task(index)}

    def item(self, index: int) -> Item:
        """Return frame `index`, ready for `collate`; the last action repeats past the end of its episode."""
        return self.preprocessor.item(self.sample(index))

    def images(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return slot → uint8 (B, 3, S, S) for the frames `indices` (B,)."""
        size, rows, of = self.preprocessor.model.image_size, self._rows[indices], self._dataset[indices]
        found = {}
        for slot, sources in self._images.items():
            found[slot] = np.empty((len(rows), 3, size, size), np.uint8)
            for i, source in enumerate(sources):
                if len(sources) == 1:
                    source.read(rows, found[slot])
                elif (mine := np.flatnonzero(of == i)).size:
                    part = np.empty((len(mine), 3, size, size), np.uint8)
                    source.read(rows[mine], part)
                    found[slot][mine] = part
        return found

    def longest_prompt(self, indices: np.ndarray) -> int:
        """Return the number of tokens of the longest prompt among the frames `indices`."""
        indices = np.asarray(indices)
        for index in indices[self._prompt_lengths[indices] == 0]:
            self._prompt_lengths[index] = len(self._prompt(index, self._states[index]))
        return int(self._prompt_lengths[indices].max())

    def batch(self, indices: np.ndarray, longest: int = 0) -> tuple[Observation, torch.Tensor]:
        """Return (observation, actions (B, H, D)) of the frames `indices`: `collate` of their items, but faster.

        Prompts are padded to at least `longest` tokens.
        """
        indices = np.asarray(indices)
        states = self._states[indices]
        actions = self.preprocessor.format.to_relative(self._actions[self._chunk(indices)], states)
        tokens = [self._prompt(index, state) for index, state in zip(indices, states, strict=True)]
        normalised = self.preprocessor.normalised_actions(actions)
        seen = observation(self.images(indices), self.preprocessor.normalised_state(states), tokens, longest)
        return seen, torch.from_numpy(normalised)

    def _chunk(self, indices: np.ndarray | int) -> np.ndarray:
        """Return the frames whose actions make the chunks of `indices`, (..., H)."""
        ahead = np.asarray(indices)[..., None] + np.arange(self.preprocessor.format.action_horizon)
        return np.minimum(ahead, self.last_frame[indices][..., None])

    def _prompt(self, index: int, state: np.ndarray) -> list[int]:
        fmt = self.preprocessor.format
        if fmt.config.discrete_state_input:
            return self.preprocessor.tokens(fmt.prompt(self.task(index)), state)
        task = int(self._task[index])
        if task not in self._tokens:
            self._tokens[task] = self.preprocessor.tokens(fmt.prompt(self._tasks[task]), state)
        return self._tokens[task]
