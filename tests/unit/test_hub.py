"""A pinned hub dataset comes through a mirror on loopback, once, whole, and converted where it is old."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import warm
from hub_server import serve
from legacy_data import make_legacy_dataset
from pisft.data.lerobot.dataset import LeRobotData

REPO, COMMIT = "somebody/small", "0123456789abcdef0123456789abcdef01234567"
TAKE = """
import sys
from pathlib import Path
from pisft.cli import run
from pisft.config.dataset import HubDataset
from pisft.data.sources import hub
from pisft.data.sources.origin import take
hub.PATIENCE = 2.0
run(lambda: print(take(HubDataset(repo=sys.argv[1], revision=sys.argv[2]), Path("data/small/lerobot"))))
"""


def take(url: str, folder: Path, revision: str = COMMIT, **environment: str) -> subprocess.CompletedProcess:
    """Fetch in a process of its own, whose client of the hub reads the address when it is imported."""
    home = {"HF_ENDPOINT": url, "HF_HOME": str(folder / "home"), "NO_PROXY": "127.0.0.1"}
    return warm.run(["-c", TAKE, REPO, revision], folder, os.environ | home | environment, anew=["huggingface_hub"])


def content(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and ".cache" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_a_pinned_dataset_comes_through_a_mirror_once(tmp_path, video_dataset):
    with serve(video_dataset, REPO, COMMIT) as hub:
        done = take(hub.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert content(tmp_path / "data/small/lerobot/") == content(video_dataset)
        count = len(hub.asked)
        assert take(hub.url, tmp_path).returncode == 0
        assert len(hub.asked) == count, "what is there is not fetched again"


def test_a_download_that_breaks_off_is_gone_on_with(tmp_path, video_dataset):
    video = next(video_dataset.rglob("*.mp4"))
    with serve(video_dataset, REPO, COMMIT) as hub:
        hub.cut[video.name] = 5000
        done = take(hub.url, tmp_path)
        if done.returncode:
            assert "could not be fetched" in done.stderr and "Traceback" not in done.stderr
            assert take(hub.url, tmp_path).returncode == 0
    asked = [line for line in hub.asked if line.startswith(video.relative_to(video_dataset).as_posix())]
    assert len(asked) == 2
    assert content(tmp_path / "data/small/lerobot/") == content(video_dataset)


def test_an_older_dataset_of_the_hub_is_converted_beside_its_original(tmp_path):
    old = make_legacy_dataset(tmp_path / "old", "v2.0")
    with serve(old, REPO, COMMIT) as hub:
        done = take(hub.url, tmp_path)
    assert done.returncode == 0 and "'converted_from': 'v2.0'" in done.stdout, done.stderr
    assert content(tmp_path / "data/small/original") == content(old)
    assert LeRobotData(tmp_path / "data/small/lerobot").num_episodes == 5


def test_a_tag_becomes_the_commit_it_stands_for(tmp_path, image_dataset):
    with serve(image_dataset, REPO, COMMIT) as hub:
        done = take(hub.url, tmp_path, "v3.0")
    assert done.returncode == 0 and f"'revision': 'v3.0', 'commit': '{COMMIT}'" in done.stdout, done.stderr


def test_what_was_truncated_on_disk_is_fetched_again(tmp_path, image_dataset):
    with serve(image_dataset, REPO, COMMIT) as hub:
        take(hub.url, tmp_path)
        table = next((tmp_path / "data/small/original/data").rglob("*.parquet"))
        os.truncate(table, 1000)
        os.utime(table, (1e9, 1e9))  # as a copy that keeps times has it: the hub's client looks at nothing else
        hub.asked.clear()
        done = take(hub.url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert hub.asked == ["data/chunk-000/file-000.parquet from 0"]
    assert content(tmp_path / "data/small/original") == content(image_dataset)


def test_of_another_revision_nothing_stays(tmp_path, image_dataset, video_dataset):
    for folder in (video_dataset, image_dataset):
        commit = f"{folder.name:0<40}".encode().hex()[:40]
        with serve(folder, REPO, commit) as hub:
            done = take(hub.url, tmp_path, commit)
        assert done.returncode == 0, done.stderr
        assert content(tmp_path / "data/small/lerobot/") == content(folder)


@pytest.mark.parametrize("change", ["another content", "truncated"])
def test_what_a_mirror_does_not_have_whole_is_named_and_not_kept(tmp_path, image_dataset, change):
    table = image_dataset / "data/chunk-000/file-000.parquet"
    good = table.read_bytes()
    bad = good[:4000] + bytes(8) + good[4008:] if change == "another content" else good[:4000]
    with serve(image_dataset, REPO, COMMIT) as hub:
        hub.replaced[table.name] = bad
        done = take(hub.url, tmp_path)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert f"original/{table.relative_to(image_dataset)}: differs from the hub's listing" in done.stderr
        assert not (tmp_path / "data/small/lerobot").exists()
        hub.replaced.clear()
        assert take(hub.url, tmp_path).returncode == 0
    assert content(tmp_path / "data/small/lerobot/") == content(image_dataset)


@pytest.mark.parametrize("revision", ["v3.0", COMMIT])
def test_without_a_network_half_a_download_is_no_dataset(tmp_path, video_dataset, revision):
    shutil.copytree(video_dataset, tmp_path / "data/small/original")
    next((tmp_path / "data/small/original").rglob("*.mp4")).unlink()
    before = content(tmp_path / "data/small/original")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for done in (
            take(url, tmp_path, revision),
            take("http://127.0.0.1:9", tmp_path, revision),
            take(url, tmp_path, revision, HF_HUB_OFFLINE="1"),
        ):
            assert done.returncode == 1 and "Traceback" not in done.stderr
            assert f"{REPO} at {revision}: could not be fetched" in done.stderr and "`source: local`" in done.stderr
    assert not (tmp_path / "data/small/lerobot").exists()
    assert content(tmp_path / "data/small/original") == before


@pytest.mark.parametrize("revision", ["main", "f" * 40])
def test_a_revision_that_is_not_there_is_told_in_one_line(tmp_path, video_dataset, revision):
    with serve(video_dataset, REPO, COMMIT) as hub:
        done = take(hub.url, tmp_path, revision)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{REPO} at {revision}: could not be fetched" in done.stderr and "HF_ENDPOINT" in done.stderr


def test_what_was_fetched_whole_needs_no_network_again_and_what_was_not_does(tmp_path, video_dataset):
    with serve(video_dataset, REPO, COMMIT) as hub:
        assert take(hub.url, tmp_path).returncode == 0
    assert take(hub.url, tmp_path).returncode == 0, "the server is gone"
    video = next((tmp_path / "data/small/original").rglob("*.mp4"))
    content = video.read_bytes()
    video.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert take(hub.url, tmp_path).returncode == 1
    with serve(video_dataset, REPO, COMMIT) as hub:
        done = take(hub.url, tmp_path)
        assert done.returncode == 0 or take(hub.url, tmp_path).returncode == 0
    assert video.read_bytes() == content
