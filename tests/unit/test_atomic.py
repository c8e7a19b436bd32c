"""A file or a folder appears whole or not at all, and what was there stays until then."""

import errno
import os
import stat

import pytest
from pisft.atomic import new_file, new_folder
from pisft.canonical import read_json, write_json
from pisft.errors import PisftError


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fill(folder, text):
    folder.mkdir()
    (folder / "a").write_text(text)
    return folder


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new/file"
    with new_file(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(ZeroDivisionError), new_file(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "one" and names(path.parent) == {"file"}


def test_what_is_written_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    steps = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def synced(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(kind)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *paths: steps.append("name") or replace(*paths))
    monkeypatch.setattr(os, "rename", lambda *paths: steps.append("name") or rename(*paths))
    with new_file(tmp_path / "file") as temporary:
        temporary.write_text("one")
    with new_folder(tmp_path / "folder") as new:
        fill(new, "one")
    assert steps == ["file", "name", "file", "name", "folder"]


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_takes_its_place_when_it_is_whole(tmp_path, link):
    final = tmp_path / "place/final"
    final.parent.mkdir()
    if link:
        final.symlink_to(fill(tmp_path / "elsewhere", "old"))
    else:
        fill(final, "old")
    with pytest.raises(ZeroDivisionError), new_folder(final) as new:
        fill(new, "half")
        raise ZeroDivisionError
    assert (final / "a").read_text() == "old"
    with new_folder(final) as new:
        fill(new, "new")
        assert (final / "a").read_text() == "old"
    assert (final / "a").read_text() == "new" and not final.is_symlink() and names(final.parent) == {"final"}
    if link:
        assert (tmp_path / "elsewhere/a").read_text() == "old", "what a link led to is not ours"


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    final, rename = fill(tmp_path / "final", "old"), os.rename

    def refused(source, target):
        if str(source).endswith(".new"):
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(OSError, match="No space"), new_folder(final) as new:
        fill(new, "new")
    assert (final / "a").read_text() == "old" and names(tmp_path) == {"final"}


def test_what_an_earlier_process_left_is_no_obstacle(tmp_path):
    fill(tmp_path / ".final.new", "half"), fill(tmp_path / ".final.old", "older")
    with new_folder(tmp_path / "final") as new:
        fill(new, "new")
    assert names(tmp_path) == {"final"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "cannot be read: No such file or directory; remove it"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", r"found \[1\]; expected a JSON object; remove it"),
        (b"\xff", "is not JSON"),
    ],
)
def test_json_that_cannot_be_read_is_one_line_that_names_the_file(tmp_path, text, found):
    class MyError(PisftError):
        pass

    path = tmp_path / "content.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MyError, match=f"content.json: {found}") as error:
        read_json(path, MyError, "remove it")
    assert "\n" not in str(error.value) and str(error.value).endswith("; remove it")


def test_json_of_another_kind_is_read_where_it_is_asked_for(tmp_path):
    write_json(tmp_path / "list.json", [1])
    assert read_json(tmp_path / "list.json", kind=list) == read_json(tmp_path / "list.json", kind=object) == [1]
