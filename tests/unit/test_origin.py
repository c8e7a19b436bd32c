"""Where datasets come from: local folders and names are read in place, older versions converted, the hub asked once."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from legacy_data import CAMERA, make_legacy_dataset
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot_data import episode_images
from pisft.config.base import ConfigError, parse
from pisft.config.dataset import HubDataset, LocalDataset
from pisft.config.format import FormatConfig
from pisft.data import DataError, Format
from pisft.data.lerobot import video
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources import legacy
from pisft.data.sources.origin import take
from pisft.data.transforms.fit import check

FORMAT = Format(
    FormatConfig(
        cameras={"base_0_rgb": CAMERA},
        state="observation.state",
        actions="action",
        normalisation="zscore",
        action_horizon=5,
    )
)


def digests(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("kind", ["video", "image"])
@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
def test_an_older_dataset_is_converted_and_nothing_of_it_changes(tmp_path, version, kind, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    old = make_legacy_dataset(tmp_path / "old", version, video=kind == "video")
    before, new = digests(old), LeRobotData(tmp_path / "old_new")
    root = tmp_path / "data/mine/lerobot"
    facts = take(LocalDataset(path=str(old)), root)
    assert facts["converted_from"] == version and len(facts["original"]) == 64
    assert digests(old) == before
    assert [p.name for p in root.parent.iterdir()] == ["lerobot"]

    data = LeRobotData(root)
    check(data, FORMAT)
    np.testing.assert_array_equal(data.episode_lengths, new.episode_lengths)
    assert data.tasks == new.tasks and (data.task_index == new.task_index).all()
    for key in ("observation.state", "action"):
        np.testing.assert_array_equal(data.column(key), new.column(key))
    for episode in range(data.num_episodes):
        frames = episode_images(data, CAMERA, episode)
        if kind == "video":
            file = old / f"videos/chunk-000/{CAMERA}/episode_{episode:06d}.mp4"
            expected = np.stack(list(video.Video(file, data.fps).frames(np.arange(len(frames)) / data.fps)))
        else:
            expected = episode_images(new, CAMERA, episode)
        np.testing.assert_array_equal(frames, expected)
    assert LeRobotDataset("local/mine", root=root, video_backend="pyav")[0]["observation.state"].shape == (4,)


def test_a_frame_rate_that_is_no_whole_number_is_kept(tmp_path):
    old = make_legacy_dataset(tmp_path / "old", "v2.1", fps=30)
    info = old / "meta/info.json"
    info.write_text(info.read_text().replace('"fps": 30', '"fps": 29.97'))
    take(LocalDataset(path=str(old)), tmp_path / "data/mine/lerobot")
    assert LeRobotData(tmp_path / "data/mine/lerobot").fps == 29.97


def test_what_macos_leaves_beside_files_is_no_data(tmp_path, capfd):
    old = make_legacy_dataset(tmp_path / "old", "v2.1")
    for name in ("data/chunk-000/._episode_000000.parquet", f"videos/chunk-000/{CAMERA}/._episode_000000.mp4"):
        (old / name).write_bytes(b"notes")
    take(LocalDataset(path=str(old)), tmp_path / "data/mine/lerobot")
    check(LeRobotData(tmp_path / "data/mine/lerobot"), FORMAT)
    assert "left out" not in "".join(capfd.readouterr())


def test_an_interrupted_conversion_is_no_dataset_and_is_mended_by_the_next(tmp_path, monkeypatch):
    old, root = make_legacy_dataset(tmp_path / "old", "v2.1"), tmp_path / "data/mine/lerobot"
    run = legacy._run_converter

    def killed(*args):
        run(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(legacy, "_run_converter", killed)
    with pytest.raises(KeyboardInterrupt):
        take(LocalDataset(path=str(old)), root)
    assert not root.exists()
    monkeypatch.undo()
    take(LocalDataset(path=str(old)), root)
    check(LeRobotData(root), FORMAT)


def test_a_broken_older_dataset_is_told_and_what_was_converted_before_is_kept(tmp_path):
    old, root = make_legacy_dataset(tmp_path / "old", "v2.1"), tmp_path / "data/mine/lerobot"
    take(LocalDataset(path=str(old)), root)
    before = digests(root)
    (old / "meta/episodes.jsonl").unlink()
    with pytest.raises(DataError, match=r"old/meta/episodes\.jsonl: cannot be read \(No such file"):
        take(LocalDataset(path=str(old)), root)
    assert digests(root) == before


def test_a_broken_video_is_named_where_it_lies_and_nothing_is_left(tmp_path):
    old, root = make_legacy_dataset(tmp_path / "old", "v2.1"), tmp_path / "data/mine/lerobot"
    file = old / f"videos/chunk-000/{CAMERA}/episode_000003.mp4"
    os.truncate(file, 300)
    with pytest.raises(DataError, match=rf"of episode 3: {file}: cannot be decoded"):
        take(LocalDataset(path=str(old)), root)
    assert list(root.parent.iterdir()) == []


def test_a_current_dataset_is_linked_also_in_the_place_of_a_converted_one(tmp_path, video_dataset):
    old, root = make_legacy_dataset(tmp_path / "old", "v2.1"), tmp_path / "data/mine/lerobot"
    take(LocalDataset(path=str(old)), root)
    with pytest.raises(DataError, match="is in the way"):
        take(LocalDataset(path=str(video_dataset)), root)
    (root.parent / "manifest.json").write_text("{}")
    take(LocalDataset(path=str(video_dataset)), root)
    assert root.is_symlink() and root.resolve() == video_dataset.resolve()


def test_a_name_is_a_folder_where_lerobot_keeps_its_datasets(tmp_path, video_dataset, monkeypatch):
    home = tmp_path / "home"
    (home / "lerobot").mkdir(parents=True)
    (home / "lerobot/small").symlink_to(video_dataset)
    monkeypatch.setenv("HF_LEROBOT_HOME", str(home))
    take(LocalDataset(name="lerobot/small"), tmp_path / "data/mine/lerobot")
    assert LeRobotData(tmp_path / "data/mine/lerobot").num_episodes == 5
    with pytest.raises(
        DataError, match=r"home/lerobot/other: is not a folder; .*'lerobot/other' under HF_LEROBOT_HOME"
    ):
        take(LocalDataset(name="lerobot/other"), tmp_path / "data/other/lerobot")
    monkeypatch.delenv("HF_LEROBOT_HOME")
    monkeypatch.setenv("HF_HOME", "/somewhere")
    assert LocalDataset(name="a/b").folder() == Path("/somewhere/lerobot/a/b")


@pytest.mark.parametrize("content", [{}, {"path": "a", "name": "b"}])
def test_a_local_dataset_has_one_place(content):
    with pytest.raises(ConfigError, match="exactly one of path and name"):
        parse(content, LocalDataset, "mine.yaml")


def test_a_hub_dataset_that_cannot_be_fetched_fails_at_once_and_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        DataError, match=r"lerobot/pusht at v3.0: could not be fetched.*HF_ENDPOINT.*`name: lerobot/pusht`"
    ):
        take(HubDataset(repo="lerobot/pusht", revision="v3.0"), tmp_path / "data/pusht/lerobot")
    assert not (tmp_path / "data/pusht/lerobot").exists()
