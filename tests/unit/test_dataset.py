"""A LeRobot folder is read as lerobot reads it, and what is wrong with it is named."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_data import episode_images, make_lerobot_dataset
from pisft.config.format import FormatConfig
from pisft.data import DataError, Format
from pisft.data.lerobot import video
from pisft.data.lerobot.camera import iter_frames
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.transforms.fit import check, check_together

CAMERA = "observation.image"
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = f"videos/{CAMERA}/chunk-000/file-000.mp4"


def make_format(**changes) -> Format:
    content = {
        "cameras": {"base_0_rgb": CAMERA},
        "state": "observation.state",
        "actions": "action",
        "normalisation": "quantile",
        "action_horizon": 5,
    }
    return Format(FormatConfig.model_validate(content | changes))


def edit_info(root, **changes):
    path = root / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_table(path, edit):
    table = pq.read_table(path)
    pq.write_table(edit(table), path)


def set_value(path, key, row, value):
    def edit(table):
        values = table[key].to_pylist()
        values[row] = value
        column = pa.array(values, table.schema.field(key).type)
        return table.set_column(table.column_names.index(key), table.schema.field(key), column)

    edit_table(path, edit)


def truncate(path, fraction=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


@pytest.mark.parametrize("fixture", ["video_dataset", "image_dataset"])
def test_columns_tasks_and_pixels_are_those_that_lerobot_reads(fixture, request):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    root = request.getfixturevalue(fixture)
    data = LeRobotData(root)
    reference = LeRobotDataset("tests/small", root=root, video_backend="pyav")
    state, action = data.column("observation.state"), data.column("action")
    assert state.dtype == np.float32
    assert (data.num_frames, data.num_episodes, data.fps) == (len(reference), reference.num_episodes, 80)
    for episode, frames in iter_frames(data, CAMERA, range(data.num_episodes)):
        assert frames.dtype == np.uint8
        for row, image in zip(range(data.num_frames)[data.episode_slices[episode]], frames, strict=True):
            sample = reference[row]
            assert sample["episode_index"] == episode
            np.testing.assert_array_equal(image, (sample[CAMERA] * 255).round().permute(1, 2, 0).numpy())
            np.testing.assert_array_equal(state[row], sample["observation.state"].numpy())
            np.testing.assert_array_equal(action[row], sample["action"].numpy())
            assert data.task(row) == sample["task"]


@pytest.mark.parametrize("fixture", ["video_dataset", "image_dataset"])
def test_an_episode_by_itself_has_the_frames_that_it_has_among_the_others(fixture, request):
    data = LeRobotData(request.getfixturevalue(fixture))
    everything = dict(iter_frames(data, CAMERA, range(data.num_episodes)))
    some = dict(iter_frames(data, CAMERA, [4, 1]))
    assert list(some) == [1, 4]
    for episode, frames in everything.items():
        assert len(frames) == data.episode_lengths[episode]
        np.testing.assert_array_equal(episode_images(data, CAMERA, episode), frames)
    for episode, frames in some.items():
        np.testing.assert_array_equal(frames, everything[episode])


def write_video(path, times, rate=30):
    """Grey images that grow lighter, shown at `times` (frames), with frames that refer to later ones."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"bf": "3", "g": "12", "crf": "10"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 2 * i + 20, np.uint8), format="rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_a_frame_that_is_missing_in_the_middle_is_named(tmp_path):
    path = tmp_path / "hole.mp4"
    write_video(path, [*range(20), *range(21, 40)])
    wanted = np.arange(40) / 30
    with pytest.raises(DataError, match=r"no frame at 0.6667 s"):
        list(video.Video(path, 30).frames(wanted))
    with pytest.raises(DataError, match=r"no frame at 0.6667 s"):
        video.check(path, wanted, 30)


def test_video_encoded_with_reordered_frames_is_read_frame_by_frame(tmp_path):
    path = tmp_path / "reordered.mp4"
    write_video(path, range(90))
    everything = np.stack(list(video.Video(path, 30).frames(np.arange(90) / 30)))
    assert (np.diff(everything.mean((1, 2, 3))) >= 1).all()
    firsts = (0, 7, 40, 83, 2)
    file = video.Video(path, 30)
    for first in firsts:
        shown = list(file.frames(np.arange(first, first + 7) / 30))
        np.testing.assert_array_equal(shown, everything[first : first + 7])
    file.close()
    video.check(path, np.arange(90) / 30, 30)


def test_a_whole_dataset_passes_the_check(video_dataset, image_dataset):
    check(LeRobotData(video_dataset), make_format())
    check(LeRobotData(image_dataset), make_format())


def test_tasks_that_pandas_wrote_as_an_index_are_read(copied_dataset):
    tasks = LeRobotData(copied_dataset).tasks
    renamed = ["task_index", "__index_level_0__"]
    edit_table(copied_dataset / "meta/tasks.parquet", lambda table: table.rename_columns(renamed))
    assert LeRobotData(copied_dataset).tasks == tasks


def test_a_folder_without_info_is_not_a_dataset(tmp_path):
    with pytest.raises(DataError, match=r"meta/info.json: cannot be read: No such file.*not a LeRobot dataset"):
        LeRobotData(tmp_path)


def test_info_that_is_not_json_is_named(copied_dataset):
    truncate(copied_dataset / "meta/info.json")
    with pytest.raises(DataError, match=r"meta/info.json: is not JSON"):
        LeRobotData(copied_dataset)


@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
def test_an_older_version_names_the_converter(copied_dataset, version):
    edit_info(copied_dataset, codebase_version=version)
    with pytest.raises(DataError, match=rf"{version}; expected v3.0.*make_dataset.py <name> converts it"):
        LeRobotData(copied_dataset)


@pytest.mark.parametrize("file", [DATA, EPISODES, "meta/tasks.parquet"])
def test_a_truncated_parquet_file_is_named_at_opening(copied_dataset, file):
    truncate(copied_dataset / file)
    with pytest.raises(DataError, match=rf"{file}: cannot be read"):
        LeRobotData(copied_dataset)


def test_a_missing_data_file_is_noticed_at_opening(copied_dataset):
    (copied_dataset / DATA).unlink()
    with pytest.raises(DataError, match="0 frames in 0 files; the episodes have 61"):
        LeRobotData(copied_dataset)


def test_a_missing_video_is_named_at_opening(copied_dataset):
    (copied_dataset / VIDEO).unlink()
    with pytest.raises(DataError, match=rf"{VIDEO}: the video of '{CAMERA}', episode 0 is missing"):
        LeRobotData(copied_dataset)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_a_truncated_video_is_named_by_the_check_and_by_decoding(copied_dataset, fraction):
    truncate(copied_dataset / VIDEO, fraction)
    data = LeRobotData(copied_dataset)
    with pytest.raises(DataError, match=VIDEO):
        check(data, make_format())
    with pytest.raises(DataError, match=VIDEO):
        list(iter_frames(data, CAMERA, range(data.num_episodes)))


def test_a_video_with_fewer_frames_than_its_episodes_is_named(copied_dataset, tmp_path):
    shorter = make_lerobot_dataset(tmp_path / "shorter", episodes=(12, 10, 13, 15))
    shutil.copy(shorter / VIDEO, copied_dataset / VIDEO)
    data = LeRobotData(copied_dataset)
    with pytest.raises(
        DataError, match=rf"'{CAMERA}' of episode 4, frame 0: .*{VIDEO}: no frame at 0.6250 s; .* fewer"
    ):
        check(data, make_format())
    with pytest.raises(DataError, match=rf"{VIDEO}: no frame at 0.6250 s"):
        episode_images(data, CAMERA, 4)


@pytest.mark.parametrize(("key", "value"), [("observation.state", np.nan), ("action", np.inf)])
@pytest.mark.parametrize("frame", [0, 3, 6])
def test_a_number_that_is_not_finite_is_named_by_episode_frame_and_dim(copied_dataset, key, value, frame):
    set_value(copied_dataset / DATA, key, 12 + frame, [0.0, 0.0, value, 0.0])
    data = LeRobotData(copied_dataset)
    with pytest.raises(DataError, match=rf"'{key}' of episode 1, frame {frame}, dim 2 is {value}"):
        check(data, make_format())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": "observation.stat"}, r"no 'observation.stat'; did you mean 'observation.state'\?"),
        ({"actions": "actions"}, r"no 'actions'; did you mean 'action'\?"),
        ({"cameras": {"base_0_rgb": "observation.images"}}, rf"did you mean '{CAMERA}'\?"),
        ({"cameras": {"base_0_rgb": "action"}}, "'action' is float32; expected video or image"),
        ({"state": CAMERA}, rf"'{CAMERA}' is video .*; expected a vector"),
        ({"delta_mask": [5]}, r"delta_mask \[5\] is of 5"),
        ({"actions": {"key": "action", "dims": [0, 5]}}, "'action', which has 4"),
    ],
)
def test_a_format_that_does_not_fit_is_told_by_the_check(video_dataset, changes, message):
    if isinstance(changes.get("actions"), dict):
        changes = {"actions": [changes["actions"]]}
    with pytest.raises(DataError, match=message):
        check(LeRobotData(video_dataset), make_format(**changes))


def test_widths_that_differ_from_info_are_named(copied_dataset):
    info = json.loads((copied_dataset / "meta/info.json").read_text())
    info["features"]["action"]["shape"] = [3]
    edit_info(copied_dataset, features=info["features"])
    with pytest.raises(DataError, match=r"'action' has 4 values a frame; info.json says 3"):
        check(LeRobotData(copied_dataset), make_format())


def test_images_of_another_size_than_info_says_are_named(copied_dataset):
    info = json.loads((copied_dataset / "meta/info.json").read_text())
    info["features"][CAMERA]["shape"] = [64, 64, 3]
    edit_info(copied_dataset, features=info["features"])
    with pytest.raises(DataError, match=r"of episode 0, frame 0 is \(96, 96, 3\); .* says \(64, 64, 3\)"):
        episode_images(LeRobotData(copied_dataset), CAMERA, 0)


def test_a_dataset_without_episodes_is_told(copied_dataset):
    edit_table(copied_dataset / EPISODES, lambda table: table.slice(0, 0))
    with pytest.raises(DataError, match="the dataset has no episodes"):
        LeRobotData(copied_dataset)


def test_frames_out_of_order_are_noticed(copied_dataset):
    set_value(copied_dataset / DATA, "episode_index", 5, 1)
    with pytest.raises(DataError, match="frame 5 is not of episode 0"):
        LeRobotData(copied_dataset)


def test_a_task_that_is_not_listed_is_noticed(copied_dataset):
    set_value(copied_dataset / DATA, "task_index", 5, 7)
    with pytest.raises(DataError, match="there is no task 7"):
        LeRobotData(copied_dataset)


def test_a_broken_image_is_named(tmp_path, image_dataset):
    root = shutil.copytree(image_dataset, tmp_path / "image")
    set_value(root / DATA, CAMERA, 2, {"bytes": b"not an image", "path": "x.png"})
    with pytest.raises(DataError, match=rf"'{CAMERA}' of episode 0, frame 2: found bytes that are not an image"):
        episode_images(LeRobotData(root), CAMERA, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 40}, r"has 80 frames/s and .*other 40"),
        ({"vectors": {"observation.state": 4, "action": 6}}, r"actions has 4 dims in .* and 6 in .*other"),
    ],
)
def test_datasets_that_do_not_go_together_are_told(tmp_path, video_dataset, changes, message):
    other = make_lerobot_dataset(tmp_path / "other", episodes=(6, 8), video=False, **changes)
    both = [LeRobotData(video_dataset), LeRobotData(other)]
    check_together([both[0], both[0]], make_format())
    with pytest.raises(DataError, match=message):
        check_together(both, make_format())
