"""Older datasets as people have them are converted where their content is there; else the episode is named."""

import json
import shutil

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from legacy_data import CAMERA, make_legacy_dataset
from lerobot_data import episode_images
from pisft.data import DataError
from pisft.data.lerobot import video
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources.legacy import convert


@pytest.fixture(scope="module", params=["v2.0", "v2.1"])
def whole(tmp_path_factory, request):
    return make_legacy_dataset(tmp_path_factory.mktemp("whole") / "old", request.param)


@pytest.fixture
def old(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "old")


def converted(old):
    facts = convert(old, old.with_name("new"))
    return LeRobotData(old.with_name("new")), facts


def parquet_of(old, episode):
    return old / f"data/chunk-000/episode_{episode:06d}.parquet"


def video_of(old, episode):
    return old / f"videos/chunk-000/{CAMERA}/episode_{episode:06d}.mp4"


def make_images(file, fps, count):
    return np.stack(list(video.Video(file, fps).frames(np.arange(count) / fps)))


def edit_info(old, drop=(), **changes):
    file = old / "meta/info.json"
    info = {key: value for key, value in json.loads(file.read_text()).items() if key not in drop}
    file.write_text(json.dumps(info | changes))


def edit_lines(old, name, edit):
    file = old / f"meta/{name}.jsonl"
    lines = [edit(json.loads(line)) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines if line is not None))


def assert_holds(data, old, episodes):
    """`data` are the `episodes` of `old`: vectors, instructions and images."""
    texts = dict(json.loads(line).values() for line in (old / "meta/tasks.jsonl").read_text().splitlines())
    assert data.num_episodes == len(episodes)
    for place, episode in enumerate(episodes):
        table = pq.read_table(parquet_of(old, episode), partitioning=None)
        rows = data.rows(place)
        np.testing.assert_array_equal(data.column("action")[rows], np.stack(table["action"].to_numpy()))
        if "task_index" in table.column_names:
            assert data.task(rows[0]) == texts[table["task_index"][0].as_py()]
        wanted = make_images(video_of(old, episode), data.fps, len(rows))
        np.testing.assert_array_equal(episode_images(data, CAMERA, place), wanted)
    files = [pq.read_table(file, partitioning=None) for file in data.data_files]
    numbers = np.concatenate([table["episode_index"].to_numpy() for table in files])
    np.testing.assert_array_equal(numbers, data.episodes_of(np.arange(data.num_frames)))


def test_an_episode_that_was_deleted_leaves_the_others_and_their_numbers_are_told(old, capsys):
    parquet_of(old, 2).unlink()
    video_of(old, 2).unlink()
    edit_lines(old, "episodes", lambda line: None if line["episode_index"] == 2 else line)
    data, facts = converted(old)
    assert_holds(data, old, [0, 1, 3, 4])
    assert facts["episodes_were"] == [0, 1, 3, 4]
    assert "episodes are numbered 0 to 3; their numbers were 0, 1, 3, 4" in capsys.readouterr().err


def test_what_nothing_needs_may_be_absent_stale_or_left_over(old, capsys):
    edit_info(old, ("total_videos", "total_chunks", "total_tasks", "splits", "robot_type"), total_frames=3)
    (old / "meta/episodes_stats.jsonl").unlink(missing_ok=True)
    edit_lines(old, "episodes", lambda line: line | {"note": line["episode_index"] or None})
    shutil.copy(video_of(old, 1), video_of(old, 7))
    shutil.copy(parquet_of(old, 1), parquet_of(old, 8))
    features = json.loads((old / "meta/info.json").read_text())["features"]
    edit_info(old, features=features | {"observation.effort": {"dtype": "float32", "shape": [6]}, "odd": 3})
    data, facts = converted(old)
    assert_holds(data, old, [0, 1, 2, 3, 4])
    assert "episodes_were" not in facts and not {"observation.effort", "odd"} & set(data.features)
    told = capsys.readouterr().err
    for what in ("episode_000008.parquet: is of no episode", "has no 'observation.effort'", "'odd': found 3"):
        assert what in told


def test_files_lie_where_info_json_says(old):
    edit_info(
        old,
        data_path="data/{episode_chunk:02d}/{episode_index}.parquet",
        video_path="videos/{video_key}/chunk-{episode_chunk:03d}/e{episode_index:04d}.mp4",
    )
    moved = shutil.copytree(old, old.with_name("moved"))
    shutil.rmtree(moved / "data")
    shutil.rmtree(moved / "videos")
    for episode in range(5):
        for file, place in (
            (parquet_of(old, episode), f"data/00/{episode}.parquet"),
            (video_of(old, episode), f"videos/{CAMERA}/chunk-000/e{episode:04d}.mp4"),
        ):
            (moved / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, moved / place)
    assert_holds(converted(moved)[0], old, range(5))


def encode(file, frames, fps, codec, **options):
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize(("codec", "options"), [("libsvtav1", {"preset": "12"}), ("libx264", {"bf": "0", "refs": "1"})])
def test_videos_of_another_encoder_are_kept_apart_and_shown_as_they_are(old, codec, options):
    fps = json.loads((old / "meta/info.json").read_text())["fps"]
    for episode in (1, 2):
        file = video_of(old, episode)
        rows = pq.read_metadata(parquet_of(old, episode)).num_rows
        encode(file, make_images(file, fps, rows), int(fps), codec, **options)
    assert_holds(converted(old)[0], old, range(5))


def test_a_video_of_another_rate_or_with_too_few_frames_is_named_with_its_episode(old):
    info = json.loads((old / "meta/info.json").read_text())
    file, kept = video_of(old, 3), video_of(old, 3).read_bytes()
    rows = pq.read_metadata(parquet_of(old, 3)).num_rows
    shown = make_images(file, info["fps"], rows)
    encode(file, shown, int(info["fps"]) // 2, "libx264")
    with pytest.raises(DataError, match=rf"'{CAMERA}' of episode 3: {file}: has .* frames/s; meta/info.json says"):
        converted(old)
    encode(file, shown[:-2], int(info["fps"]), "libx264")
    with pytest.raises(DataError, match=rf"{file}: episode 3 has {rows} rows, and {rows - 2} frames of '{CAMERA}'"):
        converted(old)
    file.write_bytes(kept)
    file.unlink()
    with pytest.raises(DataError, match=rf"{file}: the video of '{CAMERA}', episode 3 is missing; fetch or record"):
        converted(old)


def test_an_episode_without_its_rows_is_named(old):
    rows = pq.read_metadata(parquet_of(old, 1)).num_rows
    edit_lines(old, "episodes", lambda line: line | ({"length": 99} if line["episode_index"] == 1 else {}))
    with pytest.raises(DataError, match=rf"episode 1 has {rows} rows; meta/episodes.jsonl says length 99"):
        converted(old)
    parquet_of(old, 1).unlink()
    with pytest.raises(DataError, match=r"the rows of episode 1 are missing, which meta/episodes\.jsonl lists"):
        converted(old)


def rewrite(old, edit):
    for episode in range(5):
        file = parquet_of(old, episode)
        pq.write_table(edit(pq.read_table(file, partitioning=None)), file)


def test_instructions_come_from_an_annotation_or_else_from_the_episodes(old):
    before = [data.task(data.rows(episode)[0]) for data in [converted(old)[0]] for episode in range(5)]
    annotation = "annotation.human.action.task_description"
    one = {"dtype": "int64", "shape": [1]}
    features = json.loads((old / "meta/info.json").read_text())["features"]
    edit_info(old, features={k: v for k, v in features.items() if k != "task_index"} | {annotation: one})
    rewrite(old, lambda table: table.append_column(annotation, table["task_index"]).drop_columns(["task_index"]))
    edit_lines(old, "episodes", lambda line: line | {"tasks": ["valid", *line["tasks"]]})
    for _ in range(2):
        data = converted(old)[0]
        assert [data.task(data.rows(episode)[0]) for episode in range(5)] == before
        edit_lines(old, "episodes", lambda line: line | {"tasks": line["tasks"][-1:]})
        rewrite(old, lambda table: table.drop_columns([annotation]) if annotation in table.column_names else table)
    edit_lines(old, "episodes", lambda line: line | {"tasks": []})
    with pytest.raises(DataError, match=r"tasks: found .* of episode 0; frames have no task_index"):
        converted(old)


@pytest.mark.parametrize("how", ["bytes", "path", "struct of a path"])
def test_loose_images_are_put_into_the_table(tmp_path, how):
    old = make_legacy_dataset(tmp_path / "old", "v2.1", video=False)
    wanted = episode_images(converted(old)[0], CAMERA, 2)
    shutil.rmtree(tmp_path / "new")
    (old / "images").mkdir()

    def loose(table):
        cells = []
        for row in table.select([CAMERA, "index"]).to_pylist():
            path = f"images/{row['index']}.png"
            (old / path).write_bytes(row[CAMERA]["bytes"])
            cells.append({"bytes": row[CAMERA]["bytes"], "path": path}.get(how, {"bytes": None, "path": path}))
        return table.set_column(table.column_names.index(CAMERA), CAMERA, pa.array(cells))

    rewrite(old, loose)
    np.testing.assert_array_equal(episode_images(converted(old)[0], CAMERA, 2), wanted)
