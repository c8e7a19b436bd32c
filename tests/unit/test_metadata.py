"""Metadata as people have them: what is used is read by name and type, or refused; the rest may be odd."""

import copy
import importlib.util
import io
import json
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from legacy_data import make_legacy_dataset
from lerobot_data import episode_images
from PIL import Image
from pisft.config.format import FormatConfig
from pisft.data import DataError, Format
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.image import ImageError, decode
from pisft.data.sources.legacy import convert
from pisft.data.transforms.fit import check
from pisft.data.transforms.format import given_names
from pisft.errors import PisftError
from pisft.provenance.key import expected
from pisft.stages import base as stages

ROOT = Path(__file__).parents[2]
CAMERA = "observation.image"
FORMAT = {
    "cameras": {"base_0_rgb": CAMERA},
    "state": "observation.state",
    "actions": "action",
    "delta_mask": [3, -1],
    "normalisation": "quantile",
    "action_horizon": 4,
}
ODD = [None, "x", "", -1, 0, 1e30, float("nan"), True, [], [1], ["a"], {}, {"a": 1}, [[[]]], 2**70]


def read(root):
    """What a user of the dataset reads of it."""
    data = LeRobotData(root)
    check(data, Format(FormatConfig.model_validate(FORMAT)))
    return data


def paths_in(content, prefix=()):
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*prefix, key)
        yield from paths_in(value, (*prefix, key))


def changed(content, path, value=None, drop=False):
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


def mutants_of_json(file):
    """(what was done, the file's new text) for each key dropped, and each set to something odd."""
    content = json.loads(file.read_text())
    for path in paths_in(content):
        yield f"{path} dropped", json.dumps(changed(content, path, drop=True))
        for value in ODD:
            yield f"{path} = {value!r}", json.dumps(changed(content, path, value))
    yield from ((f"{file.name}: {text[:9]!r}", text) for text in ("", "[]", "null", "{", "3", '"text"', "[" * 5000))


def mutants_of_lines(file):
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for path in paths_in(lines[1]):
        for what, line in [
            ("dropped", changed(lines[1], path, drop=True)),
            *((v, changed(lines[1], path, v)) for v in ODD),
        ]:
            yield f"{path} {what!r}", "".join(json.dumps(each) + "\n" for each in [lines[0], line, *lines[2:]])
    yield from ((f"{file.name}: {text[:9]!r}", text) for text in ("", "[]\n", "null\n", "{\n", "3\n"))


def mutants_of_table(file):
    """(what was done, table) for each column dropped, null, or of another type."""
    table = pq.read_table(file, partitioning=None)
    for place, name in enumerate(table.column_names):
        rows = table.num_rows
        yield f"{name} dropped", table.drop_columns([name])
        last = pa.array([*table[name].to_pylist()[:-1], None], table.schema.field(name).type)
        yield f"{name} of the last row = None", table.set_column(place, name, last)
        for value in (None, "x", -1, 1.5, 2**60, [], [1], ["a"], True, float("nan"), {"a": 1}):
            yield f"{name} = {value!r}", table.set_column(place, name, pa.array([value] * rows))
    yield "no rows", table.slice(0, 0)


def tracebacks(copied, relative, mutants, use):
    """What was done to the file where something else than a `DataError` came of it, and how many were tried."""
    file = copied / relative
    whole, found, count = file.read_bytes(), [], 0
    for what, content in mutants:
        pq.write_table(content, file) if isinstance(content, pa.Table) else file.write_text(content)
        count += 1
        try:
            use(copied)
        except DataError as error:
            if "\n" in str(error):
                found.append(f"{relative}: {what}: a message of several lines")
        except Exception as error:  # noqa: BLE001  what must not come is what is looked for
            found.append(f"{relative}: {what}: {type(error).__name__}: {str(error)[:80]}")
    file.write_bytes(whole)
    assert count, relative
    return found, count


def v30_mutants(root):
    info, (episodes,), tasks = (
        root / "meta/info.json",
        (root / "meta/episodes").glob("*/*"),
        root / "meta/tasks.parquet",
    )
    (data,) = (root / "data").glob("*/*")
    yield "meta/info.json", list(mutants_of_json(info))
    for path in (episodes, tasks, data):
        yield path.relative_to(root).as_posix(), list(mutants_of_table(path))


def legacy_mutants(root):
    for file in sorted((root / "meta").glob("*.json*")):
        mutants = (mutants_of_lines if file.suffix == ".jsonl" else mutants_of_json)(file)
        yield file.relative_to(root).as_posix(), list(mutants)
    first = min((root / "data").glob("*/*"))
    yield first.relative_to(root).as_posix(), list(mutants_of_table(first))


def sampled(mutants, few):
    return random.Random(0).sample(mutants, min(few, len(mutants))) if few else mutants


@pytest.mark.parametrize("few", [25, pytest.param(None, marks=[pytest.mark.slow, pytest.mark.long])])
def test_no_traceback_comes_of_odd_metadata(copied_dataset, few):
    found, count = [], 0
    for relative, mutants in v30_mutants(copied_dataset):
        wrong, tried = tracebacks(copied_dataset, relative, sampled(mutants, few), read)
        found, count = found + wrong, count + tried
    print(f"{count} mutants")
    assert not found, f"{len(found)} of {count}: " + "\n".join(found[:20])


@pytest.mark.parametrize("few", [3, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.long])])
@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
def test_no_traceback_comes_of_odd_old_metadata(tmp_path, version, few):
    original = make_legacy_dataset(tmp_path / "old", version)
    found, count = [], 0

    def use(folder):
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        convert(folder, tmp_path / "new")
        read(tmp_path / "new")

    for relative, mutants in legacy_mutants(original):
        wrong, tried = tracebacks(original, relative, sampled(mutants, few), use)
        found, count = found + wrong, count + tried
    print(f"{count} mutants")
    assert not found, f"{len(found)} of {count}: " + "\n".join(found[:20])


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Give a dataset's folder to the three commands that a person types of it; raises what comes out of them."""
    root = tmp_path / "project"
    for name in ("formats", "datasets"):
        (root / f"config/{name}").mkdir(parents=True)
    (root / "config/formats/fuzz.yaml").write_text(json.dumps(FORMAT))
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "envs").mkdir()
    monkeypatch.chdir(root)
    mains = {}
    for name in ("make_dataset", "inspect_dataset", "norm_stats"):
        spec = importlib.util.spec_from_file_location(f"fuzzed_{name}", ROOT / f"scripts/{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        mains[name] = module.main

    def type_them(folder):
        (root / "config/datasets/fuzz.yaml").write_text(json.dumps({"source": "local", "path": str(folder)}))
        shutil.rmtree(root / "data", ignore_errors=True)
        expected.cache_clear()
        stages._cached.cache_clear()
        refused = []
        for name, arguments in {
            "make_dataset": ["fuzz"],
            "inspect_dataset": [str(folder), "--out", "out"],
            "norm_stats": ["--config-name", "fuzz", "--repo-id", str(folder), "--workers", "1"],
        }.items():
            monkeypatch.setattr(sys, "argv", [name, *arguments])
            try:
                mains[name]()
            except PisftError as error:
                refused.append(str(error))
        if refused:
            raise DataError(max(refused, key=lambda text: text.count("\n")))

    return type_them


@pytest.mark.parametrize("few", [1, pytest.param(None, marks=[pytest.mark.slow, pytest.mark.long])])
@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
def test_no_traceback_comes_out_of_the_commands(tmp_path, image_dataset, commands, version, few):
    if version == "v3.0":
        root = shutil.copytree(image_dataset, tmp_path / "dataset")
        mutants = v30_mutants(root)
    else:
        root = make_legacy_dataset(tmp_path / "dataset", version, video=False)
        mutants = legacy_mutants(root)
    found, count = [], 0
    for relative, each in mutants:
        wrong, tried = tracebacks(root, relative, sampled(each, few), commands)
        found, count = found + wrong, count + tried
    print(f"{count} mutants")
    assert not found, f"{len(found)} of {count}: " + "\n".join(found[:20])


def write_tasks(root, **columns):
    pq.write_table(pa.table(columns), root / "meta/tasks.parquet")


def test_the_instruction_is_found_by_name_and_type(copied_dataset):
    tasks = LeRobotData(copied_dataset).tasks
    numbers = list(range(len(tasks)))
    for columns in (
        {"task_index": numbers, "category": ["a"] * len(tasks), "task": tasks},
        {"episodes": [3] * len(tasks), "task_index": numbers, "__index_level_0__": tasks},
        {"note": ["x"] * len(tasks), "task_index": numbers, "__index_level_0__": tasks},
        {"instruction": tasks, "task_index": numbers, "count": [1] * len(tasks)},
    ):
        write_tasks(copied_dataset, **columns)
        assert LeRobotData(copied_dataset).tasks == tasks, columns
    write_tasks(copied_dataset, one=tasks, other=tasks, task_index=numbers)
    with pytest.raises(DataError, match=r"which column is the instruction\? Expected one called task"):
        LeRobotData(copied_dataset)


def test_without_task_index_the_episodes_say_what_was_asked_for(copied_dataset):
    before = LeRobotData(copied_dataset)
    wanted = [before.task(before.rows(episode)[0]) for episode in range(before.num_episodes)]
    for file in before.data_files:
        pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["task_index"]), file)
    after = read(copied_dataset)
    assert [after.task(after.rows(episode)[0]) for episode in range(after.num_episodes)] == wanted


@pytest.mark.parametrize("how", ["shorter", "next begins early"])
def test_an_episode_is_never_shown_images_of_another(copied_dataset, how):
    (file,) = (copied_dataset / "meta/episodes").glob("*/*.parquet")
    table = pq.read_table(file, partitioning=None)
    name = f"videos/{CAMERA}/{'to' if how == 'shorter' else 'from'}_timestamp"
    values = table[name].to_pylist()
    fps = LeRobotData(copied_dataset).fps
    values[0 if how == "shorter" else 1] -= 2 / fps
    pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values)), file)
    data = LeRobotData(copied_dataset)
    rows = data.episode_lengths[0]
    with pytest.raises(DataError, match=rf"episode 0 has {rows} rows in data/, and {rows - 2} frames of its video"):
        episode_images(data, CAMERA, 0)


def encoded(image, kind="PNG"):
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


def test_images_are_read_as_people_store_them(tmp_path):
    colours = Image.fromarray(np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3))
    wanted = np.asarray(colours)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/0.png").write_bytes(encoded(colours))
    for cell in (
        encoded(colours),
        {"bytes": encoded(colours), "path": None},
        {"bytes": None, "path": "images/0.png"},
        encoded(colours.convert("RGBA")),
    ):
        np.testing.assert_array_equal(decode(cell, tmp_path), wanted)
    grey = colours.convert("L")
    np.testing.assert_array_equal(decode(encoded(grey), tmp_path), np.stack([np.asarray(grey)] * 3, -1))
    palette = colours.quantize(16)
    np.testing.assert_array_equal(decode(encoded(palette), tmp_path), np.asarray(palette.convert("RGB")))
    for deep in (Image.fromarray(np.full((8, 8), 40000, np.uint16)), Image.fromarray(np.ones((8, 8), np.float32))):
        with pytest.raises(ImageError, match=r"of mode .*, whose range does not fit into 8 bits"):
            decode(encoded(deep, "TIFF"), tmp_path)
    for cell in (
        None,
        3,
        "text",
        {},
        {"bytes": None, "path": None},
        {"path": "../x"},
        {"path": "/etc/passwd"},
        b"",
        b"x",
    ):
        with pytest.raises(ImageError):
            decode(cell, tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b", "c"],
        [["a", "b", "c"]],
        [["a", "b"], ["c"]],
        {"arm": ["a", "b"], "hand": ["c"]},
        {"arm": {"a": None, "b": None}, "hand": {"c": None}},
        {"a": None, "b": None, "c": None},
        {"c": 2, "a": 0, "b": 1},
    ],
)
def test_names_of_dims_are_read_however_they_are_written(names):
    assert given_names({"shape": [3], "names": names}) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "names", [None, [], ["a"], "abc", 3, [1, 2, 3], {"a": ["b"]}, [[], []], {"a": "x"}, {"a": True}]
)
def test_names_that_are_not_one_a_dim_are_none(names):
    assert given_names({"shape": [3], "names": names}) is None


def test_a_delta_mask_is_of_all_dims(video_dataset):
    data = LeRobotData(video_dataset)
    for mask in ([6, -1], [3], [-1], [4, -1]):
        with pytest.raises(DataError, match=r"actions has 4 dims \(.*\); the format's delta_mask .* is of \d"):
            check(data, Format(FormatConfig.model_validate(FORMAT | {"delta_mask": mask})))


@pytest.mark.parametrize(("mask", "refused"), [([3, -1], True), ([-4], False), ([], False)])
def test_a_relative_dim_is_the_states_of_its_name(copied_dataset, mask, refused):
    info = copied_dataset / "meta/info.json"
    content = json.loads(info.read_text())
    content["features"]["observation.state"]["names"] = ["w", "x", "y", "z"]
    content["features"]["action"]["names"] = ["x", "y", "z", "w"]
    info.write_text(json.dumps(content))
    fmt = Format(FormatConfig.model_validate(FORMAT | {"delta_mask": mask}))
    if refused:
        with pytest.raises(DataError, match=r"dim 0 of actions is x, of the state w, .*relative"):
            check(LeRobotData(copied_dataset), fmt)
    else:
        check(LeRobotData(copied_dataset), fmt)


def test_a_table_is_a_vector_where_the_format_says_so(copied_dataset):
    data = LeRobotData(copied_dataset)
    actions = data.column("action")
    for file in data.data_files:
        table = pq.read_table(file, partitioning=None)
        cells = [row.reshape(2, 2).tolist() for row in np.stack(table["action"].to_numpy())]
        pq.write_table(table.set_column(table.column_names.index("action"), "action", pa.array(cells)), file)
    info = copied_dataset / "meta/info.json"
    content = json.loads(info.read_text())
    content["features"]["action"] |= {"shape": [2, 2], "names": ["arm", "joint"]}
    info.write_text(json.dumps(content))
    data = LeRobotData(copied_dataset)
    with pytest.raises(DataError, match=r"'action' is a table, \[2, 2\]; .*say `\{key: action, flatten: true\}`"):
        check(data, Format(FormatConfig.model_validate(FORMAT)))
    fmt = Format(FormatConfig.model_validate(FORMAT | {"actions": [{"key": "action", "flatten": True}]}))
    check(data, fmt)
    np.testing.assert_array_equal(data.column("action"), actions)
    np.testing.assert_array_equal(data.vectors(["action"]).rows(0, len(actions))["action"], actions)
    assert fmt.action_names(data.features) == ["action[0, 0]", "action[0, 1]", "action[1, 0]", "action[1, 1]"]
