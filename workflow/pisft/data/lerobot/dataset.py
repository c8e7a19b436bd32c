"""Reads a LeRobot v3.0 dataset from its folder with pyarrow and PyAV alone.

Start from `LeRobotData(root)`: opening reads the metadata and finds what is missing or truncated. A camera's images are
read by `open_camera` in camera.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pisft.config.base import nearest
from pisft.data.errors import DataError
from pisft.data.lerobot.episodes import read_episodes, read_tasks
from pisft.data.lerobot.info import Info, read_info
from pisft.data.lerobot.template import file_of
from pisft.data.lerobot.vectors import Vectors, batches, parquet, read_table, to_array

NUMERIC = ("float", "int", "uint", "bool")


class LeRobotData:
    """One dataset folder (`meta/`, `data/`, `videos/`); raises `DataError` if it is incomplete."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._columns: dict[str, np.ndarray] = {}  # columns of meta/episodes, read on demand
        self._pieces: set[str] = set()  # cameras that `check_pieces` has checked
        info = _v30(read_info(self.root))
        self.features: dict[str, Any] = info.features
        self.fps, self._video_path, self._odd = info.fps, info.video_path, info.odd
        self._episodes = read_episodes(self.root)
        self.episode_lengths: np.ndarray = self._episodes.length
        self._ends = np.cumsum(self.episode_lengths)
        self.episode_slices = [slice(end - n, end) for n, end in zip(self.episode_lengths, self._ends, strict=True)]
        self._data_files = sorted((self.root / "data").glob("*/*.parquet"))
        self._numbered = all("task_index" in _schema(path).names for path in self._data_files)
        if self._numbered:
            tasks = read_tasks(self.root)
        else:
            tasks = dict(enumerate(dict.fromkeys(self._episodes.instructions())))
        self._task_numbers = set(tasks)
        self.tasks: list[str] = [tasks.get(i, "") for i in range(max(tasks, default=-1) + 1)]
        self._check_files()

    @cached_property
    def task_index(self) -> np.ndarray:
        """The index into `tasks` of each frame's instruction, int64 (frames,)."""
        if self._numbered:
            return self._read_data("task_index").to_numpy().astype(np.int64)
        of_episodes = [self.tasks.index(task) for task in self._episodes.instructions()]
        return np.repeat(np.array(of_episodes, np.int64), self.episode_lengths)

    @property
    def num_episodes(self) -> int:
        """Number of episodes; they are numbered from 0."""
        return len(self.episode_lengths)

    @property
    def num_frames(self) -> int:
        """Number of frames in all episodes."""
        return int(self.episode_lengths.sum())

    def column(self, key: str) -> np.ndarray:
        """Return a vector feature, float32 (frames, d)."""
        width = self.vector_width(key)
        try:
            return to_array(self._read_data(key), width)
        except ValueError as error:
            raise DataError(f"{self.root}/data: '{key}' {error}") from error

    def vectors(self, keys: Iterable[str]) -> Vectors:
        """Return a stream over several vector features, which raises `DataError` for values that are not finite."""
        widths = {key: self.vector_width(key) for key in keys}
        for path in self._data_files:
            schema = _schema(path)
            for key in widths:
                kind = schema.field(key).type if key in schema.names else None
                if kind is None or not _is_vector(kind):
                    raise DataError(
                        f"{path}: '{key}': found {kind or 'no such column'}; expected the list of numbers of "
                        "meta/info.json; record it, or take the key out of the format"
                    )
        return Vectors(self.root, self._data_files, widths, self._ends)

    def vector_width(self, key: str) -> int:
        """Return the number of dims of a vector feature, or of a table over all rows; raises `DataError` for others."""
        feature = self.feature(key)
        if not feature["dtype"].startswith(NUMERIC):
            raise DataError(
                f"{self.root}/meta/info.json: '{key}' is {feature['dtype']} {feature['shape']}; expected a vector"
            )
        return math.prod(feature["shape"])

    def feature(self, key: str) -> dict[str, Any]:
        """Return the `features` entry of info.json; raises `DataError` with the nearest valid name if there is none."""
        if key in self._odd:
            raise DataError(f"{self.root}/meta/info.json: features: '{key}': {self._odd[key]}")
        if key not in self.features:
            raise DataError(
                f"{self.root}/meta/info.json: features: there is no '{key}'; {nearest(key, list(self.features))}"
            )
        return self.features[key]

    @property
    def used_tasks(self) -> list[str]:
        """The instructions that at least one frame has."""
        return [self.tasks[index] for index in sorted(self._task_numbers)]

    def task(self, frame: int) -> str:
        """Return the instruction of the frame with dataset-wide number `frame`."""
        return self.tasks[self.task_index[frame]]

    def rows(self, episode: int) -> range:
        """Return the dataset-wide numbers of an episode's frames."""
        inside = self.episode_slices[episode]
        return range(int(inside.start), int(inside.stop))

    def videos(self, key: str) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
        """Yield (path, timestamps (s), dataset-wide frame numbers) for each of a camera's video files."""
        self.check_pieces(key)
        files: dict[Path, list[int]] = {}
        for episode in range(self.num_episodes):
            files.setdefault(self._video_file(key, episode), []).append(episode)
        for path, inside in files.items():
            timestamps = np.concatenate([self._episode_timestamps(key, episode) for episode in inside])
            yield path, timestamps, np.concatenate([np.asarray(self.rows(episode)) for episode in inside])

    @property
    def data_files(self) -> list[Path]:
        """The parquet files, in the order of their frames."""
        return self._data_files

    def first_row(self, path: Path) -> int:
        """Return the dataset-wide number of a parquet file's first frame."""
        file = self._data_files.index(path)
        return int(self._file_ends[file - 1]) if file else 0

    @property
    def starts(self) -> np.ndarray:
        """The dataset-wide number of each episode's first frame, int64 (episodes,)."""
        return self._ends - self.episode_lengths

    def episodes_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the episode of each of `rows`."""
        return np.searchsorted(self._ends, rows, side="right")

    def place(self, row: int) -> tuple[int, int]:
        """Return (episode, frame in the episode) of the frame with dataset-wide number `row`."""
        episode = int(np.searchsorted(self._ends, row, side="right"))
        return episode, row - int(self.episode_slices[episode].start)

    def video_frame(self, key: str, row: int) -> tuple[Path, float]:
        """Return the video file that holds a frame, and the frame's timestamp (s) in it."""
        episode, frame = self.place(row)
        start = self._episode(f"videos/{key}/from_timestamp", episode)
        return self._video_file(key, episode), float(start + frame / self.fps)

    def data_file(self, row: int) -> tuple[Path, int]:
        """Return the parquet file that holds a frame, and the frame's row in it."""
        file = int(np.searchsorted(self._file_ends, row, side="right"))
        return self._data_files[file], row - (int(self._file_ends[file - 1]) if file else 0)

    def check_pieces(self, key: str) -> None:
        """Check that each episode's segment of a camera's joined videos is as long as the episode and is no other's.

        Raises `DataError`; checked once per camera.
        """
        if key in self._pieces:
            return
        start = self._episodes.column(f"videos/{key}/from_timestamp")
        frames = self.episode_lengths
        if self._episodes.has(f"videos/{key}/to_timestamp"):
            shown = np.rint((self._episodes.column(f"videos/{key}/to_timestamp") - start) * self.fps).astype(np.int64)
            if (short := shown < frames).any():
                raise self._piece_error(key, int(short.argmax()), f"{shown[short.argmax()]} frames of its video")
        places = [self._episodes.column(f"videos/{key}/{name}_index") for name in ("chunk", "file")]
        order = np.lexsort((start, *places))
        for one, following in itertools.pairwise(order):
            same = all(place[one] == place[following] for place in places)
            room = int(np.rint((start[following] - start[one]) * self.fps))
            if same and room < frames[one]:
                what = f"{max(0, room)} frames of its video, where that of episode {following} begins"
                raise self._piece_error(key, int(one), what)
        self._pieces.add(key)

    def _piece_error(self, key: str, episode: int, what: str) -> DataError:
        return DataError(
            f"{self._video_file(key, episode)}: episode {episode} has {self.episode_lengths[episode]} rows in data/, "
            f"and {what} of '{key}': the rest would be shown images of another episode. Leave it out, or cut its "
            "rows to its video"
        )

    def _check_files(self) -> None:
        self._file_ends = np.cumsum([_metadata(path).num_rows for path in self._data_files])
        rows = int(self._file_ends[-1]) if self._data_files else 0
        if rows != self.num_frames:
            raise DataError(
                f"{self.root}/data: {rows} frames in {len(self._data_files)} files; the episodes have "
                f"{self.num_frames}. A file is missing or surplus: fetch the dataset again"
            )
        end, used = 0, set()
        for path in self._data_files:
            wanted = ["episode_index", *(["task_index"] if self._numbered else [])]
            for name in wanted:
                kind = _schema(path).field(name).type if name in _schema(path).names else None
                if kind is None or not pa.types.is_integer(kind):
                    raise DataError(f"{path}: {name}: found {kind or 'no such column'}; expected whole numbers")
            for batch in batches(path, wanted):
                if absent := next((name for name in wanted if batch[name].null_count), None):
                    raise DataError(f"{path}: {absent}: is absent in some frames; expected a whole number each")
                start, end = end, end + batch.num_rows
                expected = np.searchsorted(self._ends, np.arange(start, end), side="right")
                if (wrong := batch["episode_index"].to_numpy() != expected).any():
                    raise DataError(
                        f"{path}: frame {start + wrong.argmax()} is not of episode {expected[wrong.argmax()]}, as "
                        "meta/episodes says; fetch the dataset again"
                    )
                if self._numbered:
                    used |= set(batch["task_index"].unique().to_pylist())
        if not self._numbered:
            used = self._task_numbers
        if missing := used - self._task_numbers:
            raise DataError(
                f"{self.root}/meta/tasks.parquet: there is no task {min(map(str, missing))}, which frames of data/ name"
            )
        self._task_numbers = used
        for key, feature in self.features.items():
            if feature["dtype"] == "video":
                for episode in range(self.num_episodes):
                    if not (path := self._video_file(key, episode)).is_file():
                        raise DataError(f"{path}: the video of '{key}', episode {episode} is missing; fetch it again")

    def _read_data(self, key: str) -> pa.Array:
        columns = [_read(path, [key])[key] for path in self._data_files]
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks]).combine_chunks()

    def _video_file(self, key: str, episode: int) -> Path:
        chunk, file = (self._episode(f"videos/{key}/{name}_index", episode) for name in ("chunk", "file"))
        source = f"{self.root}/meta/info.json: video_path"
        places = {"chunk_index": int(chunk), "file_index": int(file)}
        return file_of(self.root, self._video_path, source, video_key=key, **places)

    def _episode(self, name: str, episode: int) -> float:
        if name not in self._columns:
            self._columns[name] = self._episodes.column(name)
        return self._columns[name][episode]

    def _episode_timestamps(self, key: str, episode: int) -> np.ndarray:
        start = self._episode(f"videos/{key}/from_timestamp", episode)
        return start + np.arange(self.episode_lengths[episode]) / self.fps


def _is_vector(kind: pa.DataType) -> bool:
    """Whether `kind` is a number type, or lists or tables of numbers."""
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _v30(info: Info) -> Info:
    if info.version.startswith("v2."):
        raise DataError(
            f"{info.path}: codebase_version is {info.version}; expected v3.0. Name the folder in "
            "config/datasets/<name>.yaml (`source: local`, `path`): scripts/make_dataset.py <name> converts it to "
            "data/<name>/lerobot"
        )
    if not info.version.startswith("v3."):
        raise DataError(f"{info.path}: codebase_version is {info.version}; expected v3.0")
    return info


def _metadata(path: Path) -> pq.FileMetaData:
    return parquet(path, pq.read_metadata)


def _schema(path: Path) -> pa.Schema:
    return parquet(path, pq.read_schema)


def _read(path: Path, columns: list[str] | None = None, filters: list | None = None) -> pa.Table:
    return parquet(path, lambda p: read_table(p, columns=columns, filters=filters))
