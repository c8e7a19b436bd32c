"""Small real LeRobot v3.0 datasets, written by lerobot itself: start from `make_lerobot_dataset(path)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pisft.data.lerobot.camera import iter_frames
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources.manifest import describe
from pisft.records.manifest import Manifest

VECTORS = {"observation.state": 4, "action": 4}
TASKS = ("press the button", "close_the drawer")


def make_lerobot_dataset(
    path: Path,
    episodes: Sequence[int] = (12, 10, 13, 15, 11),
    video: bool = True,
    cameras: Sequence[str] = ("observation.image",),
    vectors: dict[str, int] | None = None,
    tasks: Sequence[str] = TASKS,
    size: tuple[int, int] = (96, 96),
    fps: int = 80,
    seed: int = 0,
) -> Path:
    """Write episodes of the given lengths to `path`; episode e is of task e modulo their count.

    The images move and differ between frames, the vectors are smooth walks. By default the keys are those of
    config/formats/metaworld_quickstart.yaml.
    """
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    rng = np.random.default_rng(seed)
    vectors = vectors or VECTORS
    image = {
        "dtype": "video" if video else "image",
        "shape": (*size, 3),
        "names": ["height", "width", "channels"],
    }
    features = dict.fromkeys(cameras, image) | {
        key: {"dtype": "float32", "shape": (width,), "names": [f"dim_{i}" for i in range(width)]}
        for key, width in vectors.items()
    }
    dataset = LeRobotDataset.create("tests/small", fps, features, root=path, use_videos=video)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for episode, length in enumerate(episodes):
        walks = {key: rng.normal(0, 0.3, (length, width)).cumsum(0) for key, width in vectors.items()}
        for frame in range(length):
            sample = {key: walk[frame].astype(np.float32) for key, walk in walks.items()}
            for place, camera in enumerate(cameras):
                red = (rows * 2 + frame * 9 + place * 40) % 256
                green = np.where(abs(columns - 5 * frame - 10) < 8, 255, 20 * episode)
                sample[camera] = np.stack([red, green, 255 - red], -1).astype(np.uint8)
            dataset.add_frame({**sample, "task": tasks[episode % len(tasks)]})
        dataset.save_episode()
    dataset.finalize()
    return path


def make_manifest(root: Path, path: Path, **changes) -> Manifest:
    """Write the manifest of what lies in `root` to `path`; what it says of the dataset is made up."""
    facts = {"name": "made_up", "source": "local", "episodes": 1, "frames": 1, "fps": 10.0, "features": {}, "tasks": []}
    manifest = Manifest.model_validate({**facts, "made_by": {}, "files": describe(root)} | changes)
    manifest.write(path)
    return manifest


def episode_images(data: LeRobotData, camera_key: str, episode: int) -> np.ndarray:
    """Return all images of one camera in one episode, uint8 (n, H, W, 3)."""
    return next(iter_frames(data, camera_key, [episode]))[1]
