"""A frame store is copied to a node's disk once, whole or not at all, and training never fails for want of a copy."""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot_data import make_lerobot_dataset, make_manifest
from pisft.canonical import file_facts, write_json
from pisft.data import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.frame_store import StoredImages, build, store_folder
from pisft.data.loading.staging import staged
from pisft.provenance.code import code_hashes
from pisft.train.step import corpus
from tiny_training import make_experiment

ROOT = Path(__file__).parents[2]
SIZE, FRAMES = 32, 100  # 300 KiB

# Stages a store and says where it reads, then reads on until its stdin ends. Told to pause, it stops in mid-copy.
STAGE = f"""
import os, sys
from pathlib import Path
from pisft.data.loading import staging
from pisft.data.loading.frame_store import StoredImages
from tqdm import tqdm

class Pausing(tqdm):
    def update(self, n):
        if not self.n:
            print("in mid-copy", flush=True)
            sys.stdin.readline()
        super().update(n)

store, disk, pausing = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "True"
if pausing:
    staging.CHUNK, staging.MIB = 2**16, 1
    staging.bar = lambda total, desc, unit: Pausing(total=total, file=open(os.devnull, "w"))
images = staging.staged(StoredImages(store, {SIZE}), disk)
print(images.folder, os.fstat(images.fileno()).st_ino, flush=True)
sys.stdin.read()
"""


def make_store(folder: Path, seed: int = 0, frames: int = FRAMES) -> StoredImages:
    """A store of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, 3, SIZE, SIZE), np.uint8)
    (folder / "pixels.u8").write_bytes(pixels.tobytes())
    write_json(folder / "index.json", {"pixels": file_facts(folder / "pixels.u8")})
    return StoredImages(folder, SIZE)


def copies(disk: Path) -> set[Path]:
    return set((disk / "pisft-frames").glob("*"))


def assert_same_pixels(images, store):
    a, b = (np.zeros((FRAMES, 3, SIZE, SIZE), np.uint8) for _ in range(2))
    images.read(np.arange(FRAMES), a)
    store.read(np.arange(FRAMES), b)
    np.testing.assert_array_equal(a, b)


@pytest.fixture
def store(tmp_path) -> StoredImages:
    return make_store(tmp_path / "data/mine/frames/image.32")


@pytest.fixture
def disk(tmp_path) -> Path:
    """A node's disk."""
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def small_disk(disk) -> Iterator[Path]:
    """One of a megabyte, which takes three stores."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs to mount a small filesystem")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def process():
    """Starts processes that stage a store."""
    started = []

    def start(store: StoredImages, disk: Path, pausing: bool = False) -> subprocess.Popen:
        command = [sys.executable, "-c", STAGE, str(store.folder), str(disk), str(pausing)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        started.append(subprocess.Popen(command, text=True, **pipes))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def test_without_a_local_disk_a_store_is_read_where_it_lies(store):
    assert staged(store, None) is store


def test_what_is_decoded_as_one_trains_is_not_staged(disk):
    decoded = object()
    assert staged(decoded, disk) is decoded
    assert copies(disk) == set()


def test_a_copy_has_the_same_pixels_and_serves_the_next_process(store, disk, process):
    copy = staged(store, disk)
    assert {copy.folder} == copies(disk)
    assert_same_pixels(copy, store)
    assert (copy.folder / "index.json").read_bytes() == (store.folder / "index.json").read_bytes()
    assert process(store, disk).stdout.readline() == f"{copy.folder} {os.fstat(copy.fileno()).st_ino}\n"


def test_a_store_that_is_made_again_gets_another_copy(store, disk):
    before = staged(store, disk)
    again = make_store(store.folder, seed=1)
    assert_same_pixels(staged(again, disk), again)
    assert len(copies(disk)) == 2 and before.folder.is_dir()


def test_while_one_process_copies_others_wait_and_read_its_copy(store, disk, process):
    first = process(store, disk, pausing=True)
    assert first.stdout.readline() == "in mid-copy\n"
    others = [process(store, disk) for _ in range(2)]
    for other in others:
        assert "waiting for another process" in other.stderr.readline()
    first.stdin.write("go on\n")
    first.stdin.flush()
    places = {each.stdout.readline() for each in (first, *others)}
    assert len(places) == 1 and len(copies(disk)) == 1
    assert_same_pixels(StoredImages(Path(places.pop().split()[0]), SIZE), store)


def test_one_that_is_killed_in_mid_copy_blocks_nobody_and_leaves_nothing(store, disk, process):
    first = process(store, disk, pausing=True)
    assert first.stdout.readline() == "in mid-copy\n"
    second = process(store, disk)
    assert "waiting for another process" in second.stderr.readline()
    os.kill(first.pid, signal.SIGKILL)
    folder = Path(second.stdout.readline().split()[0])
    assert copies(disk) == {folder}
    assert_same_pixels(StoredImages(folder, SIZE), store)


def test_what_a_killed_process_left_is_taken_for_no_copy(store, disk, process):
    first = process(store, disk, pausing=True)
    assert first.stdout.readline() == "in mid-copy\n"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (left,) = copies(disk)
    copy = staged(store, disk)
    assert copies(disk) == {copy.folder} != {left}
    assert_same_pixels(copy, store)


def test_a_truncated_copy_is_made_again(store, disk):
    folder = staged(store, disk).folder
    os.truncate(folder / "pixels.u8", 1000)
    again = staged(store, disk)
    assert again.folder == folder and copies(disk) == {folder}
    assert_same_pixels(again, store)


def test_a_damaged_store_is_refused_and_not_copied(store, disk):
    with (store.folder / "pixels.u8").open("r+b") as file:
        file.seek(5000)
        file.write(b"another")
    with pytest.raises(DataError, match=r"pixels\.u8: is damaged.*make it again \(snakemake .*index\.json\)"):
        staged(store, disk)
    assert copies(disk) == set()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "File exists"),
        ("gone/scratch", "No such file or directory"),
        ("$PISFT_UNSET", "a variable in its name is not set"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_and_done_without(store, disk, name, reason, capsys):
    (disk / "file").touch()
    assert staged(store, disk / name) is store
    told = capsys.readouterr().err
    assert f"{disk / name}/pisft-frames: cannot take a copy of {store.folder} ({reason})" in told
    assert "needs 0.0 GiB" in told and "GiB are free" in told and told.count("\n") == 1
    assert [path.name for path in disk.iterdir()] == ["file"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives a folder away")
def test_another_users_copies_are_not_read(store, disk, capsys):
    copy = staged(store, disk)
    os.chown(copy.folder.parent, 12345, 12345)
    assert staged(store, disk) is store
    assert "(it belongs to another user)" in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_told_and_done_without(small_disk, store, capsys):
    large = make_store(store.folder, frames=400)
    assert staged(large, small_disk) is large
    told = capsys.readouterr().err
    assert f"{small_disk}/pisft-frames: cannot take a copy of {large.folder} (No space left on device)" in told
    assert copies(small_disk) == set()


def test_a_copy_that_fails_half_way_is_removed_and_done_without(store, disk, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert staged(store, disk) is store
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "(File too large)" in capsys.readouterr().err
    assert copies(disk) == set()


def test_the_processes_of_a_node_tell_it_once(store, disk, monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert staged(store, disk / "gone/scratch") is store
    assert capsys.readouterr().err == ""


def test_for_room_the_copy_that_was_opened_longest_ago_goes_first(small_disk, tmp_path):
    stores = [make_store(tmp_path / f"{i}", seed=i) for i in range(4)]
    first, second, third = (staged(store, small_disk).folder for store in stores[:3])
    for when, folder in enumerate((first, second, third)):
        os.utime(folder, (when, when))
    assert staged(stores[0], small_disk).folder == first, "opened again, so the second is the oldest now"
    fourth = staged(stores[3], small_disk).folder
    assert copies(small_disk) == {first, third, fourth}


def test_a_copy_that_a_process_reads_is_never_removed(small_disk, tmp_path, process):
    stores = [make_store(tmp_path / f"{i}", seed=i) for i in range(4)]
    reading = process(stores[0], small_disk)
    held = Path(reading.stdout.readline().split()[0])
    second, third = (staged(store, small_disk).folder for store in stores[1:3])
    for when, folder in enumerate((held, second, third)):
        os.utime(folder, (when, when))
    fourth = staged(stores[3], small_disk).folder
    assert copies(small_disk) == {held, third, fourth}
    reading.kill()
    reading.wait()
    assert second == staged(stores[1], small_disk).folder
    assert copies(small_disk) == {second, third, fourth}, "once nobody reads it, it is the oldest"


def test_a_copy_that_is_removed_just_before_it_is_read_is_made_again(store, disk, process):
    folder = staged(store, disk).folder
    with (folder / "pixels.u8").open("rb") as removing:
        fcntl.flock(removing, fcntl.LOCK_EX)
        reading = process(store, disk)
        while not waits_for_a_lock(reading.pid):
            time.sleep(0.01)
        shutil.rmtree(folder)
    assert reading.stdout.readline() == f"{folder} {(folder / 'pixels.u8').stat().st_ino}\n"


def waits_for_a_lock(pid: int) -> bool:
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any("->" in line and str(pid) in line for line in lines)


def test_no_copy_is_removed_where_that_would_not_do(small_disk, tmp_path):
    small, large = make_store(tmp_path / "small"), make_store(tmp_path / "large", frames=400)
    copy = staged(small, small_disk).folder
    assert staged(large, small_disk) is large
    assert copies(small_disk) == {copy}


def test_batches_are_the_same_with_and_without(tmp_path, disk, capsys):
    root = make_lerobot_dataset(tmp_path / "recorded")
    config = make_experiment(tmp_path, root)
    data_root, run_dir = tmp_path / "data", tmp_path / "results/tiny"
    linked = data_root / "tiny/lerobot"
    make_manifest(linked, data_root / "tiny/manifest.json")
    list(build(LeRobotData(linked), "observation.image", SIZE, workers=1))

    in_place = corpus.load(config, run_dir, data_root)
    wanted = [batch(each) for each in (in_place.training, in_place.heldout)]
    nowhere = corpus.load(config, run_dir, data_root, tmp_path / "gone/scratch")
    assert capsys.readouterr().err.count("cannot take a copy") == 1, "both sets read one file"
    local = corpus.load(config, run_dir, data_root, disk)
    os.truncate(store_folder(linked, "observation.image", SIZE) / "pixels.u8", 0)
    with pytest.raises(DataError, match="truncated"):
        batch(nowhere.training)
    for found, expected in zip([batch(each) for each in (local.training, local.heldout)], wanted, strict=True):
        assert len(found) == len(expected) and all(map(torch.equal, found, expected))


def batch(training_set) -> list[torch.Tensor]:
    """All frames."""
    seen, actions = training_set.batch(np.arange(len(training_set)))
    return [seen.images["base_0_rgb"], seen.state, seen.tokens, seen.token_mask, actions]


def test_staging_is_in_the_code_of_training_and_of_no_store():
    label = "pisft/data/loading/staging.py"
    assert label in code_hashes(ROOT / "scripts/train.py")
    assert label not in code_hashes(ROOT / "scripts/make_frames.py")
