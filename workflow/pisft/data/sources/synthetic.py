"""Generates random demonstrations, written by lerobot itself, to try a format with: start from `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np

from pisft.atomic import new_folder
from pisft.config.dataset import SyntheticDataset
from pisft.data.errors import DataError
from pisft.data.lerobot.joining import any_path
from pisft.data.lerobot.reproducible import same_bytes

TASKS = ("pick up_the cube", "open the drawer")
# Small and nearly lossless; g = 2 makes every second frame a keyframe, so that any frame is decoded quickly.
ENCODER = {"vcodec": "h264", "pix_fmt": "yuv420p", "g": 2, "crf": 18, "preset": "ultrafast"}


def generate(origin: SyntheticDataset, root: Path) -> dict[str, Any]:
    """Write the dataset to `root`, which appears once it is complete; returns facts for the manifest.

    The content is a function of `origin` alone.
    """
    with new_folder(root) as new:
        _write(origin, new)
    return {"frames": origin.frames, "seed": origin.seed}


def samples(origin: SyntheticDataset, episode: int) -> list[dict[str, Any]]:
    """Return the frames of one episode in the dataset's own keys, as `origin.features` declares them."""
    rng = np.random.default_rng([origin.seed, episode])
    length = origin.frames + episode
    columns = {
        key: _images(rng, length, feature.shape) if feature.is_image else _walk(rng, length, feature.shape[0])
        for key, feature in origin.features.items()
    }
    vectors = {key for key, feature in origin.features.items() if not feature.is_image}
    return [
        {k: x[i].astype(origin.features[k].dtype) if k in vectors else x[i] for k, x in columns.items()}
        | {"task": TASKS[episode % len(TASKS)]}
        for i in range(length)
    ]


def _write(origin: SyntheticDataset, root: Path) -> None:
    import datasets
    from lerobot.configs import RGBEncoderConfig
    from lerobot.datasets import dataset_writer
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    datasets.disable_progress_bars()
    av.logging.set_libav_level(av.logging.ERROR)
    features = {
        key: {
            "dtype": feature.dtype,
            "shape": tuple(feature.shape),
            "names": ["height", "width", "channels"]
            if feature.is_image
            else feature.names or [f"{key}_{i}" for i in range(feature.shape[0])],
        }
        for key, feature in origin.features.items()
    }
    if origin.fps != int(origin.fps):
        raise DataError(f"fps: found {origin.fps}; lerobot writes whole numbers")
    dataset = LeRobotDataset.create(
        repo_id="synthetic/dataset",  # not written anywhere
        fps=int(origin.fps),
        features=features,
        root=root,
        use_videos=any(feature.dtype == "video" for feature in origin.features.values()),
        rgb_encoder=RGBEncoderConfig(**ENCODER),
        encoder_threads=1,
        video_backend="pyav",
    )
    try:
        with any_path(dataset_writer):
            for episode in range(origin.episodes):
                for sample in samples(origin, episode):
                    dataset.add_frame(sample)
                dataset.save_episode()
    finally:
        dataset.finalize()
    same_bytes(root)


def _walk(rng: np.random.Generator, length: int, dims: int) -> np.ndarray:
    """Return a smooth path in [-1, 1], a sine of random frequency and phase for each dim, float64 (length, dims)."""
    phase, turns = rng.uniform(0, 2 * np.pi, dims), rng.uniform(0.2, 2, dims)
    return np.sin(phase + turns * np.linspace(0, 2 * np.pi, length)[:, None])


def _images(rng: np.random.Generator, length: int, shape: list[int]) -> np.ndarray:
    """Return a constant random colour gradient crossed by a bright square, uint8 (length, H, W, 3)."""
    height, width, _ = shape
    rows, columns = np.mgrid[:height, :width]
    start, base = rng.integers(0, min(height, width), 2), rng.integers(0, 128, 3)
    frames = np.empty((length, height, width, 3), np.uint8)
    for i in range(length):
        frames[i] = base + np.stack([rows * 127 // height, columns * 127 // width, (rows + columns) % 128], -1)
        side = max(2, min(height, width) // 8)
        top, left = (start + i * side // 4) % (np.array([height, width]) - side)
        frames[i, top : top + side, left : left + side] = 255
    return frames
