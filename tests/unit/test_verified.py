"""A file is hashed once, and again when anybody touched it; notes that are lost or wrong cost a look, never trust."""

import json
import os
import time

import pytest
from pisft import verified
from pisft.canonical import file_facts, files_below
from pisft.data.sources.manifest import describe
from pisft.stages.source import Source
from pisft.verified import InBackground, first_damaged


@pytest.fixture
def files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    return {name: (tmp_path / name, file_facts(tmp_path / name)["sha256"]) for name in ("a", "b")}


@pytest.fixture
def hashed(monkeypatch):
    names = []
    monkeypatch.setattr(verified, "file_facts", lambda path: names.append(path.name) or file_facts(path))
    return names


def flip(path, keep_times=False):
    facts, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    time.sleep(0.01)  # a file system's clock ticks
    with path.open("r+b") as file:
        file.write(content)
    if keep_times:
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_flipped_bit_is_found_though_size_and_time_are_as_they_were(files, tmp_path, keep_times):
    notes = tmp_path / "notes"
    assert first_damaged(files, notes) is None
    flip(files["b"][0], keep_times)
    for _ in range(2):
        name, found = first_damaged(files, notes)
        assert name == "b" and found == file_facts(files["b"][0])["sha256"]
    files["b"][0].unlink()
    assert first_damaged(files, notes) == ("b", None)


def test_what_nobody_touched_is_not_hashed_again(files, tmp_path, hashed):
    first_damaged(files, tmp_path / "notes")
    first_damaged(files, tmp_path / "notes")
    assert hashed == ["a", "b"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"a": 1, "b": ["x"]}', "no json", None])
def test_notes_that_are_damaged_are_no_proof(files, tmp_path, hashed, content):
    notes = tmp_path / "notes"
    first_damaged(files, notes)
    hashed.clear()
    notes.unlink() if content is None else notes.write_text(content)
    assert first_damaged(files, notes) is None and hashed == ["a", "b"]


def test_every_bit_of_the_notes_may_flip(files, tmp_path):
    notes = tmp_path / "notes"
    first_damaged(files, notes)
    flip(files["b"][0])
    whole = notes.read_bytes()
    for place in range(len(whole)):
        notes.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert first_damaged(files, notes)[0] == "b", place


def test_large_files_are_looked_at_in_the_background(files, tmp_path):
    assert InBackground(files, tmp_path / "notes").wait() is None
    flip(files["a"][0])
    later = InBackground(files, tmp_path / "notes")
    assert later.wait()[0] == "a" == later.result[0]


def test_linked_folders_are_entered_and_none_twice_in_a_line(tmp_path):
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "elsewhere/deep/x").write_text("x")
    (tmp_path / "dataset").mkdir()
    for name in ("data", "videos"):
        (tmp_path / "dataset" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/round").symlink_to(tmp_path / "dataset")
    (tmp_path / "elsewhere/here").symlink_to(".")
    names = [path.relative_to(tmp_path / "dataset").as_posix() for path in files_below(tmp_path / "dataset")]
    assert names == ["data/deep/x", "videos/deep/x"]
    before = Source("dataset", tmp_path / "dataset").listing(), describe(tmp_path / "dataset")
    assert set(before[1]) == set(names)
    (tmp_path / "elsewhere/deep/x").write_text("xy")
    after = Source("dataset", tmp_path / "dataset").listing(), describe(tmp_path / "dataset")
    assert before[0] != after[0] and before[1] != after[1]


def test_statistics_beside_base_weights_are_pinned_by_what_they_hold(tmp_path):
    file = tmp_path / "assets/droid/norm_stats.json"
    file.parent.mkdir(parents=True)
    file.write_text("[1]")
    before = json.dumps(Source("weights", tmp_path).listing())
    file.write_text("[2]")
    assert json.dumps(Source("weights", tmp_path).listing()) != before
