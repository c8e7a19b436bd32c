"""Datasets that are recorded once a run, and copied for tests that change them."""

import os
import shutil
from pathlib import Path

import pisft  # noqa: F401 - before torch: it says how torch's threads wait
import pytest
from lerobot_data import make_lerobot_dataset

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many tests run at once as there are cores; read with torch, later


@pytest.fixture(scope="session")
def video_dataset(tmp_path_factory) -> Path:
    """A LeRobot dataset with one camera as video; not to be changed."""
    return make_lerobot_dataset(tmp_path_factory.mktemp("datasets") / "video")


@pytest.fixture(scope="session")
def image_dataset(tmp_path_factory) -> Path:
    """The same dataset stored as images, not videos; not to be changed."""
    return make_lerobot_dataset(tmp_path_factory.mktemp("datasets") / "image", video=False)


@pytest.fixture
def copied_dataset(video_dataset, tmp_path) -> Path:
    """A copy of `video_dataset` that a test may break."""
    return shutil.copytree(video_dataset, tmp_path / "lerobot")
