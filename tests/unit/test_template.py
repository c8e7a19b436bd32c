"""What info.json says of paths stays in the dataset's folder, and is text, not a program."""

import json
import shutil
from pathlib import Path

import pytest
from legacy_data import make_legacy_dataset
from pisft.data import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.template import file_of
from pisft.data.sources.legacy import convert

FIELDS = {"video_key": "observation.image", "chunk_index": 1, "file_index": 12}
HOSTILE_KEYS = [
    "observation.images.$(touch X)y",
    "`touch X`",
    "a;touch X",
    "a|b",
    "a&b",
    "a'b",
    'a"b',
    "a\\b",
    "a\nb",
    "a\x1b[2Jb",
    "a\u202eb",
    "a/b",
    "../a",
    "..",
    "a..b",
    "-rf",
    ".hidden",
    " a",
    "a ",
    "{x}",
    "*",
    "~root",
    "",
    "a" * 300,
]


def filled(template, **fields):
    return file_of(Path("data/mine"), template, "info.json: video_path", **FIELDS | fields).as_posix()


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("videos/{video_key}/c-{chunk_index:03d}/f-{file_index:03d}.mp4", "observation.image/c-001/f-012"),
        ("videos/{video_key}/{chunk_index}/{file_index:d}.mp4", "observation.image/1/12"),
        ("videos/{video_key}/{file_index:06d}.mp4", "observation.image/000012"),
    ],
)
def test_the_templates_that_datasets_have_are_filled_in(template, path):
    assert filled(template) == f"data/mine/videos/{path}.mp4"


@pytest.mark.parametrize("key", ["top camera", "观测.图像", "Kamera-größe", "cam@0,left", "a=b+c~d"])
def test_a_harmless_oddity_of_a_camera_key_stays_usable(key):
    assert filled("videos/{video_key}.mp4", video_key=key) == f"data/mine/videos/{key}.mp4"


@pytest.mark.parametrize(
    "template",
    [
        "/etc/passwd",
        "../{video_key}.mp4",
        "videos/{video_key}/../../../x.mp4",
        "{video_key:>3000000000}",
        "{chunk_index:03000000000d}",
        "{file_index:>9}",
        "{video_key.__class__}",
        "{video_key[0]}",
        "{video_key!r}",
        "{x.__class__}",
        "{other}",
        "{0}",
        "{}",
        "{video_key:03d}",
        "{{video_key}}",
        "videos/{video_key",
        "videos/\n{video_key}",
        "",
        "a" * 10**6,
        None,
        7,
        ["videos"],
    ],
)
def test_a_template_that_is_more_than_names_and_numbers_is_refused_in_one_line(template):
    with pytest.raises(DataError, match=r"^info.json: video_path: found .*; expected a path inside") as error:
        filled(template)
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_a_camera_key_that_is_no_folder_is_refused_by_name(key):
    with pytest.raises(DataError, match="cannot name a folder") as error:
        filled("videos/{video_key}.mp4", video_key=key)
    assert str(error.value).isprintable() and len(str(error.value)) < 300


def rename_camera(root, name):
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"] = {name if key == "observation.image" else key: f for key, f in info["features"].items()}
    path.write_text(json.dumps(info))


@pytest.mark.parametrize("name", ["../../../out", "$(touch X)", "a/../../b"])
def test_the_converter_never_sees_a_camera_key_that_is_no_folder(tmp_path, name):
    old = make_legacy_dataset(tmp_path / "old", "v2.1")
    rename_camera(old, name)
    with pytest.raises(DataError, match="cannot name a folder"):
        convert(old, tmp_path / "new/lerobot")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("video_path", ["/etc/passwd", "{video_key:>3000000000}", "{x.__class__}", "../../a", None, 3])
def test_a_dataset_whose_videos_would_lie_elsewhere_is_refused(copied_dataset, video_path):
    path = copied_dataset / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"video_path": video_path}))
    with pytest.raises(DataError, match=r"info.json: video_path: found "):
        LeRobotData(copied_dataset)


def test_an_image_camera_that_is_no_folder_is_refused_when_the_dataset_is_opened(image_dataset, tmp_path):
    root = shutil.copytree(image_dataset, tmp_path / "lerobot")
    rename_camera(root, "$(touch X)")
    with pytest.raises(DataError, match="cannot name a folder"):
        LeRobotData(root)
