"""A pinned hub dataset comes through a mirror on loopback, once, whole, and converted where it is old."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub, serve
from legacy_data import make_legacy_dataset
from pisft.data.dataset import LeRobotData

REPO, COMMIT = "somebody/small", "0123456789abcdef0123456789abcdef01234567"
TAKE = """
import sys
from pathlib import Path
from pisft.cli import run
from pisft.config.dataset import HubDataset
from pisft.data.origin import take
run(lambda: print(take(HubDataset(repo=sys.argv[1], revision=sys.argv[2]), Path("data/small/lerobot"))))
"""


def take(hub: Hub, folder: Path, revision: str = COMMIT) -> subprocess.CompletedProcess:
    """Fetch in a process of its own: the hub's client reads its address when it is imported."""
    home = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", TAKE, REPO, revision]
    return subprocess.run(command, cwd=folder, env=os.environ | home, capture_output=True, text=True)


def content(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and ".cache" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_a_pinned_dataset_comes_through_a_mirror_once(tmp_path, video_dataset):
    with serve(video_dataset, REPO, COMMIT) as hub:
        done = take(hub, tmp_path)
        assert done.returncode == 0, done.stderr
        assert content(tmp_path / "data/small/lerobot/") == content(video_dataset)
        count = len(hub.asked)
        assert take(hub, tmp_path).returncode == 0
        assert len(hub.asked) == count, "what is there is not fetched again"


def test_a_download_that_breaks_off_is_gone_on_with(tmp_path, video_dataset):
    video = next(video_dataset.rglob("*.mp4"))
    with serve(video_dataset, REPO, COMMIT) as hub:
        hub.cut[video.name] = 5000
        done = take(hub, tmp_path)
        if done.returncode:
            assert "could not be fetched" in done.stderr and "Traceback" not in done.stderr
            assert take(hub, tmp_path).returncode == 0
    asked = [line for line in hub.asked if line.startswith(video.relative_to(video_dataset).as_posix())]
    assert len(asked) == 2
    assert content(tmp_path / "data/small/lerobot/") == content(video_dataset)


def test_an_older_dataset_of_the_hub_is_converted_beside_its_original(tmp_path):
    old = make_legacy_dataset(tmp_path / "old", "v2.0")
    with serve(old, REPO, COMMIT) as hub:
        done = take(hub, tmp_path)
    assert done.returncode == 0 and "'converted_from': 'v2.0'" in done.stdout, done.stderr
    assert content(tmp_path / "data/small/original") == content(old)
    assert LeRobotData(tmp_path / "data/small/lerobot").num_episodes == 5


@pytest.mark.parametrize("revision", ["main", "f" * 40])
def test_a_revision_that_is_not_there_is_told_in_one_line(tmp_path, video_dataset, revision):
    with serve(video_dataset, REPO, COMMIT) as hub:
        done = take(hub, tmp_path, revision)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{REPO} at {revision}: could not be fetched" in done.stderr and "HF_ENDPOINT" in done.stderr
