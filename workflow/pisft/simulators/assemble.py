"""Assembles staged episodes into a LeRobot v3.0 dataset, written by lerobot itself. Start from `assemble`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import av
import av.error
import av.logging
import datasets
import numpy as np
from lerobot.configs import RGBEncoderConfig
from lerobot.datasets import dataset_writer
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from pisft.atomic import new_folder
from pisft.config.simulators import SimulatorConfig
from pisft.data.lerobot.joining import any_path
from pisft.data.lerobot.reproducible import same_bytes
from pisft.progress import bar

# Lossless except for rounding RGB to YUV, since a policy acts on images that were never compressed; 3 kB a frame at
# 96 pixels. Every second frame is a keyframe.
ENCODER = {"vcodec": "h264", "pix_fmt": "yuv444p", "g": 2, "crf": 0, "preset": "veryfast"}


def assemble(episodes: list[Path], simulator: SimulatorConfig, out: Path) -> None:
    """Write the staged `episodes` in this order to the dataset `out`, which is replaced once everything is written."""
    try:
        with new_folder(out) as new:
            _write(episodes, simulator, new)
    except (RuntimeError, av.error.FFmpegError) as error:
        # lerobot's encoder thread reports only the text of its error.
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if os.strerror(code) in str(error):
                raise OSError(code, os.strerror(code), str(out)) from error
        raise


def _write(episodes: list[Path], simulator: SimulatorConfig, root: Path) -> None:
    datasets.disable_progress_bars()
    av.logging.set_libav_level(av.logging.ERROR)
    features = {
        key: {"dtype": feature.dtype, "shape": tuple(feature.shape), "names": feature.names}
        for key, feature in simulator.features().items()
    }
    dataset = LeRobotDataset.create(
        repo_id=f"generated/{simulator.simulator}",  # not written anywhere
        fps=simulator.fps,
        features=features,
        root=root,
        robot_type=simulator.robot,
        rgb_encoder=RGBEncoderConfig(**ENCODER),
        encoder_threads=1,  # x264's output depends on their number
        streaming_encoding=True,
        encoder_queue_maxsize=simulator.longest + 1,  # a full queue would drop frames
        video_files_size_in_mb=8,  # small, since adding an episode copies the file
        video_backend="pyav",
    )
    try:
        with any_path(dataset_writer), bar(len(episodes), "dataset", "episode") as progress:
            for path in episodes:
                with np.load(path) as staged:
                    frames = {key: staged[key] for key in (*features, "task")}
                for i, task in enumerate(frames["task"]):
                    dataset.add_frame({**{key: frames[key][i] for key in features}, "task": str(task)})
                dataset.save_episode()
                progress.update()
    finally:
        dataset.finalize()
    same_bytes(root)
