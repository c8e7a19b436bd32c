"""A frame store holds the pixels that decoding gives, survives interruptions, and is refused when it is another's."""

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from lerobot_data import make_lerobot_dataset, make_manifest
from pisft.data import DataError
from pisft.data.lerobot.camera import iter_frames
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading import frame_store
from pisft.data.loading.frame_store import DecodedImages, StoredImages, build, open_images, store_folder
from pisft.data.transforms.images import resize_with_pad

CAMERA, SIZE = "observation.image", 32
EPISODES = (12, 7, 9, 15, 11)


@pytest.fixture(params=[True, False], ids=["video", "image"])
def data(request, tmp_path) -> LeRobotData:
    """A dataset where the rules put it, with a manifest; its images are no squares."""
    root = make_lerobot_dataset(tmp_path / "data/mine/lerobot", EPISODES, video=request.param, size=(48, 64))
    make_manifest(root, root.parent / "manifest.json")
    return LeRobotData(root)


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(frame_store, "GROUP", 16)


def read(images, rows) -> np.ndarray:
    out = np.empty((len(rows), 3, SIZE, SIZE), np.uint8)
    images.read(np.asarray(rows), out)
    return out


def test_stored_and_decoded_pixels_are_those_of_the_dataset_in_any_order(data, small_groups):
    whole = [frame for _, frames in iter_frames(data, CAMERA, range(data.num_episodes)) for frame in frames]
    expected = np.stack([resize_with_pad(frame, SIZE).transpose(2, 0, 1) for frame in whole])
    rows = [53, 0, 11, 12, 12, 40, 1, 30]
    decoded = open_images(data, CAMERA, SIZE)
    assert isinstance(decoded, DecodedImages)
    np.testing.assert_array_equal(read(decoded, rows), expected[rows])
    counts = list(build(data, CAMERA, SIZE, workers=3))
    assert counts == sorted(counts) and (counts[0], counts[-1]) == (0, sum(EPISODES))
    stored = open_images(data, CAMERA, SIZE)
    assert isinstance(stored, StoredImages)
    np.testing.assert_array_equal(read(stored, rows), expected[rows])
    np.testing.assert_array_equal(read(stored, range(54)), expected)


def test_an_interrupted_store_is_no_store_and_goes_on_where_it_was(data, small_groups, monkeypatch):
    making = build(data, CAMERA, SIZE, workers=1)
    done = [next(making), next(making)][-1]
    making.close()
    assert 0 < done < sum(EPISODES)
    assert isinstance(open_images(data, CAMERA, SIZE), DecodedImages)

    again = []
    decode = frame_store._decode
    monkeypatch.setattr(frame_store, "_decode", lambda *args: again.append(args[3]) or decode(*args))
    counts = list(build(data, CAMERA, SIZE, workers=1))
    assert counts[0] >= done and counts[-1] == sum(EPISODES)
    assert sum(map(len, again)) == sum(EPISODES) - counts[0]
    decoded = DecodedImages(data, CAMERA, SIZE)
    np.testing.assert_array_equal(read(open_images(data, CAMERA, SIZE), range(54)), read(decoded, range(54)))


def test_a_store_of_another_state_of_the_dataset_is_refused_and_made_anew(data):
    list(build(data, CAMERA, SIZE, workers=1))
    manifest = data.root.parent / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"revision": "another"}))
    with pytest.raises(DataError, match=r"another state of the dataset.*make it again \(snakemake"):
        open_images(data, CAMERA, SIZE)
    list(build(data, CAMERA, SIZE, workers=1))
    assert isinstance(open_images(data, CAMERA, SIZE), StoredImages)


def test_the_index_of_a_store_with_other_pixels_is_another(data, monkeypatch):
    index = store_folder(data.root, CAMERA, SIZE) / "index.json"
    list(build(data, CAMERA, SIZE, workers=1))
    before = json.loads(index.read_text())
    list(build(data, CAMERA, SIZE, workers=1))
    assert json.loads(index.read_text()) == before
    monkeypatch.setattr(frame_store, "resize_with_pad", lambda image, size: 255 - resize_with_pad(image, size))
    list(build(data, CAMERA, SIZE, workers=1))
    after = json.loads(index.read_text())
    assert {key for key in before if before[key] != after[key]} == {"pixels"}


def test_a_store_whose_index_does_not_tell_its_pixels_is_refused(data):
    list(build(data, CAMERA, SIZE, workers=1))
    index = store_folder(data.root, CAMERA, SIZE) / "index.json"
    index.write_text(json.dumps({k: v for k, v in json.loads(index.read_text()).items() if k != "pixels"}))
    with pytest.raises(DataError, match=r"make it again \(snakemake"):
        open_images(data, CAMERA, SIZE)


def test_a_truncated_store_is_refused(data):
    list(build(data, CAMERA, SIZE, workers=1))
    with (store_folder(data.root, CAMERA, SIZE) / "pixels.u8").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match=r"1000 bytes, expected 165888"):
        open_images(data, CAMERA, SIZE)


def test_a_disk_that_cannot_hold_it_is_told_before_anything_is_written(data, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 165_887))
    with pytest.raises(DataError, match=r"needs 0.0 GiB for 54 frames; .*frame_store: false"):
        next(build(data, CAMERA, SIZE, workers=1))
    assert not store_folder(data.root, CAMERA, SIZE).exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 165_888))
    next(build(data, CAMERA, SIZE, workers=1))


def test_a_frame_that_cannot_be_decoded_is_named_and_what_was_done_is_kept(data, small_groups):
    if data.features[CAMERA]["dtype"] != "video":
        pytest.skip("a truncated parquet file is found at opening")
    path, _ = data.video_frame(CAMERA, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"file-000.mp4"):
        list(build(data, CAMERA, SIZE, workers=1))
    path.write_bytes(whole)
    assert next(iter(build(data, CAMERA, SIZE, workers=1))) > 0
    list(build(data, CAMERA, SIZE, workers=1))
    assert isinstance(open_images(data, CAMERA, SIZE), StoredImages)


def test_an_unknown_camera_is_told_with_the_nearest_name(data):
    with pytest.raises(DataError, match=r"did you mean 'observation\.image'"):
        next(build(data, "observation.imag", SIZE, workers=1))


def test_reading_a_store_keeps_nothing_in_memory(tmp_path):
    size, frames = 128, 4000  # 197 MB, with holes that take no disk
    with (tmp_path / "pixels.u8").open("wb") as file:
        file.truncate(frames * 3 * size**2)
    stored, out = StoredImages(tmp_path, size), np.empty((100, 3, size, size), np.uint8)
    stored.read(np.arange(100), out)
    before = resident()
    for start in range(0, frames, 100):
        stored.read(np.arange(start, start + 100), out)
    assert resident() - before < 20_000_000


def resident() -> int:
    """Bytes, mapped files included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
