"""Loads the data to train and validate on: an experiment's datasets, their episodes split. Start from `load`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pisft.config.experiment import Resolved
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.frame_store import Images, StoredImages, open_images
from pisft.data.loading.preprocess import Preprocessor
from pisft.data.loading.split import parts
from pisft.data.loading.staging import staged
from pisft.data.loading.training_set import TrainingSet
from pisft.data.sources.library import open_dataset
from pisft.data.statistics.norm_stats import load as load_norm_stats
from pisft.data.transforms.fit import check_together
from pisft.data.transforms.format import Format


@dataclass(frozen=True)
class Corpus:
    """An experiment's training and held-out frames; `real_dims` counts the action dims that are not padding."""

    training: TrainingSet
    heldout: TrainingSet | None  # None if nothing is held out
    weights: list[float]
    real_dims: int
    episodes: list[tuple[str, int, int]]  # (dataset, episode, number of frames) of the training episodes, in order
    stores: list[StoredImages]

    def check(self, wait: bool = False) -> None:
        """Raise `DataError` if a frame store was found damaged; with `wait`, only after all have been verified."""
        for store in self.stores:
            store.check(wait)

    def place(self, index: int) -> str:
        """Format training frame `index` as `<dataset> episode <n> frame <m>`."""
        ends = np.cumsum([frames for _, _, frames in self.episodes])
        i = int(np.searchsorted(ends, index, side="right"))
        name, episode, frames = self.episodes[i]
        return f"{name} episode {episode} frame {index - (ends[i] - frames)}"


def load(
    config: Resolved, run_dir: Path, data_root: Path, local_disk: Path | None = None, verify: bool = False
) -> Corpus:
    """Load everything but the images into memory, normalised by `run_dir`/norm_stats.json.

    Frame stores are read from copies on `local_disk`, a folder on a disk of this node, or in place if it is None; with
    `verify`, they are hashed in the background, and `Corpus.check` raises if one is damaged. Raises `DataError`,
    `ConfigError`.
    """
    stats = load_norm_stats(run_dir / "norm_stats.json")
    preprocessor = Preprocessor(config.model, Format(config.format), stats)
    datasets = [open_dataset(data_root / use.name) for use in config.datasets]
    check_together(datasets, preprocessor.format)
    for data in datasets:
        preprocessor.check_prompts(data.used_tasks)
    training, heldout = zip(
        *(parts(use, data, config.split) for use, data in zip(config.datasets, datasets, strict=True)),
        strict=True,
    )

    stores: list[StoredImages] = []

    @cache  # the training and held-out sets read the same frame store
    def images(data: LeRobotData, camera: str, size: int) -> Images:
        found = open_images(data, camera, size, verify)
        stores.extend([found] if isinstance(found, StoredImages) else [])
        return staged(found, local_disk)

    return Corpus(
        training=TrainingSet(datasets, preprocessor, training, images),
        heldout=TrainingSet(datasets, preprocessor, heldout, images) if any(heldout) else None,
        weights=[use.weight for use in config.datasets],
        real_dims=preprocessor.action_dims,
        episodes=[
            (use.name, episode, int(data.episode_lengths[episode]))
            for use, data, numbers in zip(config.datasets, datasets, training, strict=True)
            for episode in numbers
        ],
        stores=stores,
    )
