"""Videos are joined in folders of any name."""

import shutil

import av
import pytest
from lerobot.scripts import convert_dataset_v21_to_v30 as converter
from pisft.data.lerobot.joining import any_path


@pytest.mark.parametrize("name", ["it's", "''", "a\\b", "$(touch X)", "{a} b;c", "ü"])
def test_two_videos_become_one(video_dataset, tmp_path, name):
    (source,) = video_dataset.rglob("*.mp4")
    folder = tmp_path / name
    folder.mkdir()
    paths = [shutil.copy(source, folder / f"{i}'.mp4") for i in range(2)]
    join = converter.concatenate_video_files
    with any_path(converter):
        converter.concatenate_video_files(paths, folder / "both.mp4")
    assert converter.concatenate_video_files is join
    counts = []
    for path in (*paths, folder / "both.mp4"):
        with av.open(str(path)) as container:
            counts.append(sum(1 for _ in container.decode(video=0)))
    assert counts[2] == counts[0] + counts[1] > 0
