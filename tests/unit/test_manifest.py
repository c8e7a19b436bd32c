"""A manifest knows every byte of a folder, and says which file is not what it was."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from lerobot_data import make_manifest
from pisft import verified
from pisft.data import DataError
from pisft.data.sources.manifest import verify, verify_hashes, verify_sizes
from pisft.records.base import FileFacts
from pisft.records.manifest import Manifest
from pydantic_core import PydanticSerializationError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "lerobot"
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text("{}")
    (root / "b.bin").write_bytes(b"content")
    (root / ".cache").mkdir()
    (root / ".cache/when").write_text("now")
    return root, tmp_path / "manifest.json"


def test_it_lists_every_file_with_size_and_hash(folder):
    root, path = folder
    content = make_manifest(root, path, made_by={"repo": "a/b"})
    assert content == Manifest.read(path) and content.made_by == {"repo": "a/b"}
    assert list(content.files) == ["b.bin", "meta/info.json"]
    assert content.files["b.bin"] == FileFacts(size=7, sha256=hashlib.sha256(b"content").hexdigest())
    verify_hashes(root, path)


def test_the_same_content_elsewhere_gives_the_same_bytes(folder, tmp_path):
    root, path = folder
    make_manifest(root, path, made_by={"z": 1, "a": 2})
    other = shutil.copytree(root, tmp_path / "other")
    make_manifest(other, tmp_path / "other.json", made_by={"a": 2, "z": 1})
    assert path.read_bytes() == (tmp_path / "other.json").read_bytes()


def test_a_failure_leaves_the_manifest_that_was_there(folder):
    root, path = folder
    make_manifest(root, path)
    before = path.read_bytes()
    with pytest.raises(PydanticSerializationError):
        make_manifest(root, path, made_by={"not JSON": object()})
    with pytest.raises(DataError, match="is not a folder"):
        make_manifest(root / "nowhere", path)
    assert path.read_bytes() == before


def test_a_manifest_is_replaced_and_never_written_over(folder, tmp_path):
    root, path = folder
    make_manifest(root, path, name="a")
    (tmp_path / "link").hardlink_to(path)
    before = path.read_bytes()
    make_manifest(root, path, name="b")
    assert (tmp_path / "link").read_bytes() == before != path.read_bytes()
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("check", [verify_sizes, verify_hashes, verify])
def test_truncated_missing_and_surplus_files_are_named(folder, check):
    root, path = folder
    make_manifest(root, path)
    (root / "b.bin").write_bytes(b"cont")
    with pytest.raises(DataError, match=r"b.bin: truncated: 4 bytes; .*manifest.json says 7"):
        check(root, path)
    (root / "b.bin").unlink()
    with pytest.raises(DataError, match=r"b.bin: is missing"):
        check(root, path)
    (root / "b.bin").write_bytes(b"content")
    (root / "new").write_bytes(b"")
    with pytest.raises(DataError, match=r"new: is not listed"):
        check(root, path)


def test_a_change_of_the_same_size_is_found_by_the_hashes(folder):
    root, path = folder
    make_manifest(root, path)
    (root / "b.bin").write_bytes(b"CONTENT")
    verify_sizes(root, path)
    with pytest.raises(DataError, match=r"b.bin: changed: sha256"):
        verify_hashes(root, path)


def test_what_is_no_manifest_is_named(folder):
    root, path = folder
    with pytest.raises(DataError, match=r"manifest.json: cannot be read"):
        verify_sizes(root, path)
    for text, told in (
        ("{", r"is not JSON"),
        ("[]", r"found \[\]; expected a JSON object"),
        ("{}", r"schema_version: found 0, of an older pi-sft; fetch or build the dataset again: snakemake .*manifest"),
        ('{"schema_version": 2}', r"schema_version: found 2; this version of pi-sft reads up to 1: update it"),
        ('{"schema_version": 1}', r"manifest.json: name: field required"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=told):
            verify_sizes(root, path)


def test_what_was_hashed_once_is_hashed_again_only_when_it_was_touched(folder, monkeypatch):
    root, path = folder
    make_manifest(root, path)
    hashed = []
    facts = verified.file_facts
    monkeypatch.setattr(verified, "file_facts", lambda file: hashed.append(Path(file).name) or facts(file))
    verify(root, path)
    first = sorted(hashed)
    verify(root, path)
    assert "b.bin" in first and sorted(hashed) == first
    times = (root / "b.bin").stat()
    (root / "b.bin").write_bytes(b"CONTENT")
    os.utime(root / "b.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(DataError, match=r"b.bin: changed: sha256"):
        verify(root, path)
    (root / "b.bin").write_bytes(b"content")
    verify(root, path)
    assert sorted(hashed) == sorted([*first, "b.bin", "b.bin"])
