"""Rewrites a LeRobot v2.0 or v2.1 folder as a plain v2.1 one, which lerobot's converter can read: start from `restate`.

Folders in use are often irregular: episodes were deleted, totals are stale, statistics are missing, videos are in other
places, surplus or encoded by another program. The episodes of meta/episodes.jsonl, their rows and their videos are the
truth; everything else is computed from them. Files that need no change become links.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pisft.data.errors import DataError
from pisft.data.lerobot import video
from pisft.data.lerobot.image import ImageError, encoded
from pisft.data.lerobot.info import IMAGE_DTYPES, Info, is_count, read_info
from pisft.data.lerobot.template import file_of
from pisft.data.lerobot.vectors import parquet, read_table, to_array

DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
CHUNK = 1000  # episodes in a folder
ANNOTATION = "annotation.", "task_description"  # prefix and suffix of GR00T's column of instruction numbers


@dataclass(frozen=True)
class Episode:
    """One episode of meta/episodes.jsonl, with its `number` there; `file` holds its `rows`."""

    number: int
    file: Path
    rows: int
    columns: dict[str, pa.DataType]
    tasks: list[str]


Numbers = Callable[[Episode], np.ndarray]  # the number of each frame's instruction


@dataclass(frozen=True)
class Restated:
    """The original `numbers` of the episodes, and the videos that cannot be joined to the one before."""

    numbers: list[int]
    apart: set[Path]


def restate(original: Path, shadow: Path, cameras: bool = True) -> Restated:
    """Write the dataset at `original` to the folder `shadow`, its episodes numbered from 0; without `cameras`, only the
    rest.

    Raises `DataError` for what cannot be computed from the rest; it names episodes by their number in `original`.
    """
    info = read_info(original)
    episodes = list(_episodes(info))
    features = dict(_features(info, episodes, cameras))
    tasks, numbers = _tasks(original, episodes, features)
    dropped = () if cameras else {key for key, feature in info.features.items() if feature["dtype"] in IMAGE_DTYPES}
    asked, stats, first = [], [], 0
    for place, episode in enumerate(episodes):
        target = shadow / file_of(Path(), DATA, "", episode_chunk=place // CHUNK, episode_index=place)
        target.parent.mkdir(parents=True, exist_ok=True)
        columns = [key for key in episode.columns if key not in dropped]
        of_frames = numbers(episode)
        _write_rows(episode, target, place, first, columns, features, of_frames, original)
        first += episode.rows
        asked.append([tasks.get(int(number), "") for number in np.unique(of_frames)])
        stats.append(_statistics(target, features))
    videos = [key for key, feature in features.items() if feature["dtype"] == "video"]
    apart = {path for key in videos for path in _link_videos(info, key, episodes, shadow)}
    _write_metadata(info, shadow, episodes, features, tasks, asked, stats)
    if [episode.number for episode in episodes] != list(range(len(episodes))):
        gone = f"their numbers were {_short([episode.number for episode in episodes])}"
        print(f"{original}: episodes are numbered 0 to {len(episodes) - 1}; {gone}", file=sys.stderr)
    return Restated([episode.number for episode in episodes], apart)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (file and line number, mapping) for each line of a JSON Lines file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); a LeRobot v2 dataset lists its "
            f"{path.stem} there: fetch it again"
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                content = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}: line {number} is not valid JSON ({error})") from error
            if not isinstance(content, dict):
                raise DataError(f"{path}: line {number}: found {str(content)[:60]}; expected a mapping")
            yield f"{path}: line {number}", content


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _episodes(info: Info) -> Iterator[Episode]:
    root = info.path.parent.parent
    found: dict[int, Episode] = {}
    for where, line in _lines(root / "meta/episodes.jsonl"):
        number = line.get("episode_index")
        if not _is_number(number) or number in found:
            raise DataError(f"{where}: episode_index: found {str(number)[:60]}; expected a number, each once")
        file = _file(info, "data_path", DATA, number)
        if not file.is_file():
            raise DataError(
                f"{file}: the rows of episode {number} are missing, which meta/episodes.jsonl lists; fetch or record "
                "it again, or take its line out"
            )
        metadata = parquet(file, pq.read_metadata)
        rows, schema = metadata.num_rows, parquet(file, lambda _, read=metadata: read.schema.to_arrow_schema())
        length = line.get("length")
        if not rows or (is_count(length) and length != rows):
            raise DataError(
                f"{file}: episode {number} has {rows} rows; meta/episodes.jsonl says length {length}: fetch or record "
                "it again, or fix its line"
            )
        asked = line.get("tasks")
        texts = [task for task in asked if isinstance(task, str)] if isinstance(asked, list) else []
        columns = dict(zip(schema.names, schema.types, strict=True))
        found[number] = Episode(number, file, rows, columns, texts)
    if not found:
        raise DataError(f"{root}/meta/episodes.jsonl: the dataset has no episodes; record or fetch some")
    listed = {episode.file for episode in found.values()}
    files = {path for path in (root / "data").glob("*/*.parquet") if not path.name.startswith(".")}
    if surplus := sorted(files - listed):
        _note(f"{surplus[0]}: is of no episode of meta/episodes.jsonl ({len(surplus)} such): left out")
    yield from (found[number] for number in sorted(found))


def _file(info: Info, name: str, usual: str, number: int, **fields: str) -> Path:
    """Return the file of an episode by `info`'s template, or by the usual one."""
    size = info.content.get("chunks_size")
    chunk = number // (size if is_count(size) else CHUNK)
    template = getattr(info, name)
    template = usual if template is None else template
    root = info.path.parent.parent
    return file_of(root, template, f"{info.path}: {name}", episode_chunk=chunk, episode_index=number, **fields)


def _features(info: Info, episodes: list[Episode], cameras: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the readable features that all episodes have, without images and videos if `cameras` is false."""
    for key, reason in info.odd.items():
        _note(f"{info.path}: features: '{key}': {reason}: left out")
    for key, feature in info.features.items():
        if feature["dtype"] in IMAGE_DTYPES and not cameras:
            continue
        if feature["dtype"] == "video":
            yield key, feature
        elif lacking := [episode for episode in episodes if key not in episode.columns]:
            _note(f"{lacking[0].file}: has no '{key}' of meta/info.json ({len(lacking)} such files): left out")
        else:
            yield key, feature


def _tasks(original: Path, episodes: list[Episode], features: dict[str, Any]) -> tuple[dict[int, str], Numbers]:
    """Return the instructions by number, and a function that returns the numbers of an episode's frames.

    They come from task_index, else from an annotation column, else from the episode's only instruction in
    meta/episodes.jsonl.
    """
    path = original / "meta/tasks.jsonl"
    listed = {}
    for where, line in _lines(path) if path.is_file() else ():
        number, task = line.get("task_index"), line.get("task")
        if not _is_number(number) or not isinstance(task, str):
            raise DataError(f"{where}: found {str(line)[:60]}; expected a task_index and a task")
        listed[number] = task
    column = next(filter(lambda key: _numbers_tasks(key, episodes), ["task_index", *features]), None)
    if column is not None and listed:
        return listed, lambda episode: parquet(episode.file, lambda p: _column(p, column).to_numpy())
    for episode in episodes:
        if len(episode.tasks) != 1:
            raise DataError(
                f"{original}/meta/episodes.jsonl: tasks: found {str(episode.tasks)[:60]} of episode {episode.number}; "
                "frames have no task_index with meta/tasks.jsonl, so expected the one instruction of each episode"
            )
    order = list(dict.fromkeys(episode.tasks[0] for episode in episodes))
    return dict(enumerate(order)), lambda episode: np.full(episode.rows, order.index(episode.tasks[0]), np.int64)


def _numbers_tasks(key: str, episodes: list[Episode]) -> bool:
    begins, ends = ANNOTATION
    called = key == "task_index" or (key.startswith(begins) and key.endswith(ends))
    return called and all(key in each.columns and pa.types.is_integer(each.columns[key]) for each in episodes)


def _column(path: Path, key: str) -> pa.ChunkedArray:
    return read_table(path, columns=[key])[key]


def _write_rows(
    episode: Episode,
    target: Path,
    place: int,
    first: int,
    columns: list[str],
    features: dict[str, Any],
    tasks: np.ndarray,
    original: Path,
) -> None:
    """Write `columns` of an episode, now number `place`, to `target`: a link if the file needs no change."""
    numbers = {
        "episode_index": np.full(episode.rows, place, np.int64),
        "index": np.arange(first, first + episode.rows),
        "task_index": tasks,
    }
    images = [key for key, feature in features.items() if feature["dtype"] == "image"]
    present = [key for key in numbers if key in episode.columns]
    table = parquet(episode.file, lambda p: read_table(p, columns=[*present, *images]))
    right = len(present) == len(numbers) and all(
        pa.types.is_integer(table[key].type) and np.array_equal(table[key].to_numpy(), numbers[key]) for key in numbers
    )
    loose = [key for key in images if not _embedded(table[key])]
    if right and not loose and len(columns) == len(episode.columns):
        target.symlink_to(episode.file.absolute())
        return
    table = parquet(episode.file, lambda p: read_table(p, columns=columns))
    table = table.replace_schema_metadata(None)
    changed = {key: pa.array(values) for key, values in numbers.items()}
    changed |= {key: _embed(table[key], original, f"{episode.file}: '{key}'") for key in loose}
    for key, column in changed.items():
        if key in table.column_names:
            table = table.set_column(table.column_names.index(key), key, column)
        else:
            table = table.append_column(key, column)
    pq.write_table(table, target)


def _embedded(images: pa.ChunkedArray) -> bool:
    """Whether the bytes of each image are in the table, as lerobot stores them."""
    if not pa.types.is_struct(images.type) or images.type.get_field_index("bytes") < 0:
        return False
    return all(chunk.field("bytes").null_count == 0 for chunk in images.chunks)


def _embed(images: pa.ChunkedArray, root: Path, where: str) -> pa.Array:
    try:
        return pa.array([{"bytes": encoded(cell, root), "path": None} for cell in images.to_pylist()])
    except ImageError as error:
        raise DataError(f"{where}: {error}") from error


def _statistics(path: Path, features: dict[str, Any]) -> dict[str, Any]:
    """Return an episode's statistics of numeric features by key, in v2.1's form; only lerobot reads them."""
    found = {}
    columns = set(parquet(path, pq.read_schema).names)
    numeric = {key: each for key, each in features.items() if each["dtype"] not in (*IMAGE_DTYPES, "string")}
    table = parquet(path, lambda p: read_table(p, columns=[k for k in numeric if k in columns]))
    for key in table.column_names:
        try:
            rows = to_array(table[key].combine_chunks(), math.prod(numeric[key]["shape"])).astype(np.float64)
        except (ValueError, TypeError):
            continue  # not such numbers: reading the key raises later
        quantities = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
        found[key] = {name: x.tolist() for name, x in quantities.items()} | {"count": [len(rows)]}
    return found


def _link_videos(info: Info, key: str, episodes: list[Episode], shadow: Path) -> Iterator[Path]:
    """Check a camera's videos and link them; yields the links that cannot be joined to the one before."""
    before = None
    for place, episode in enumerate(episodes):
        file = _file(info, "video_path", VIDEO, episode.number, video_key=key)
        if not file.is_file():
            raise DataError(
                f"{file}: the video of '{key}', episode {episode.number} is missing; fetch or record it again"
            )
        try:
            found = video.contents(file)
            if len(found.times) < episode.rows:
                raise DataError(
                    f"{file}: episode {episode.number} has {episode.rows} rows, and {len(found.times)} frames of "
                    f"'{key}': the rest would be shown images of another episode. Fetch it again, leave it out, or "
                    "cut its rows to its video"
                )
            video.check(file, np.arange(episode.rows) / info.fps, info.fps, found)
        except DataError as error:
            raise DataError(f"'{key}' of episode {episode.number}: {error}") from error
        link = shadow / file_of(Path(), VIDEO, "", episode_chunk=place // CHUNK, video_key=key, episode_index=place)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.absolute())
        if before is not None and found.encoding != before:
            yield link
        before = found.encoding


def _write_metadata(
    info: Info,
    shadow: Path,
    episodes: list[Episode],
    features: dict[str, Any],
    tasks: dict[int, str],
    asked: list[list[str]],
    stats: list[dict[str, Any]],
) -> None:
    one = {"dtype": "int64", "shape": [1], "names": None}
    features = features | {key: features.get(key, one) for key in ("episode_index", "index", "task_index")}
    common = [key for key in stats[0] if len({len(each.get(key, {}).get("min", ())) for each in stats}) == 1]
    robot = info.content.get("robot_type")
    content = {
        "codebase_version": "v2.1",
        "robot_type": robot if isinstance(robot, str) else None,
        "total_episodes": len(episodes),
        "total_frames": sum(episode.rows for episode in episodes),
        "total_tasks": len(tasks),
        "total_videos": len(episodes) * sum(feature["dtype"] == "video" for feature in features.values()),
        "total_chunks": -(-len(episodes) // CHUNK),
        "chunks_size": CHUNK,
        "fps": info.fps,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": DATA,
        "video_path": VIDEO,
        "features": features,
    }
    (shadow / "meta").mkdir(parents=True, exist_ok=True)
    (shadow / "meta/info.json").write_text(json.dumps(content))
    for name, lines in {
        "tasks": ({"task_index": number, "task": tasks[number]} for number in sorted(tasks)),
        "episodes": (
            {"episode_index": i, "tasks": asked[i], "length": episode.rows} for i, episode in enumerate(episodes)
        ),
        "episodes_stats": (
            {"episode_index": i, "stats": {key: each[key] for key in common}} for i, each in enumerate(stats)
        ),
    }.items():
        _write_lines(shadow / f"meta/{name}.jsonl", lines)


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def _short(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
