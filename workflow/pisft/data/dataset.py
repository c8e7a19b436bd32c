"""Reads a LeRobot v3.0 dataset from its folder with pyarrow and PyAV alone.

Start from `LeRobotData(root)`: opening reads the metadata and finds what is missing or truncated;
`check(format)` reads everything that a format uses and says whether it can be trained on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pisft.config.base import nearest
from pisft.data.camera import Camera
from pisft.data.check import check_fps, check_frames, check_lengths, check_video, check_widths
from pisft.data.errors import DataError
from pisft.data.format import Format
from pisft.data.template import check_keys, file_of
from pisft.data.vectors import BATCH, Vectors, batches, parquet, to_array

NUMERIC = ("float", "int", "uint", "bool")


class LeRobotData:
    """One dataset folder (`meta/`, `data/`, `videos/`); raises `DataError` where it is not whole."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        info = self._info()
        self.features: dict[str, Any] = info["features"]
        check_keys(self.features, f"{self.root}/meta/info.json")
        self.fps = float(info["fps"])
        self._video_path = info.get("video_path")
        self._episodes = self._read_episodes()
        self.episode_lengths: np.ndarray = self._episodes["length"]
        self._ends = np.cumsum(self.episode_lengths)
        self.episode_slices = [slice(end - n, end) for n, end in zip(self.episode_lengths, self._ends, strict=True)]
        self._data_files = sorted((self.root / "data").glob("*/*.parquet"))
        self.tasks: list[str] = self._read_tasks()
        self._check_files()

    @cached_property
    def task_index(self) -> np.ndarray:
        """Of each frame, which of `tasks` is its instruction's, int64 (frames,)."""
        return self._read_data("task_index").to_numpy().astype(np.int64)

    @property
    def num_episodes(self) -> int:
        """Number of episodes; they are numbered from 0."""
        return len(self.episode_lengths)

    @property
    def num_frames(self) -> int:
        """Number of frames of all episodes."""
        return int(self.episode_lengths.sum())

    def column(self, key: str) -> np.ndarray:
        """A vector feature, float32 (frames, d)."""
        width = self.vector_width(key)
        try:
            return to_array(self._read_data(key), width)
        except ValueError as error:
            raise DataError(f"{self.root}/data: '{key}' {error}") from error

    def vectors(self, keys: Iterable[str]) -> Vectors:
        """The same of several features, finite, and streamed."""
        return Vectors(self.root, self._data_files, {key: self.vector_width(key) for key in keys}, self._ends)

    def vector_width(self, key: str) -> int:
        """The dims of a vector feature; of another one, a `DataError`."""
        feature = self.feature(key)
        if not feature["dtype"].startswith(NUMERIC) or len(feature["shape"]) != 1:
            raise DataError(
                f"{self.root}/meta/info.json: '{key}' is {feature['dtype']} {feature['shape']}; expected a vector"
            )
        return int(feature["shape"][0])

    def feature(self, key: str) -> dict[str, Any]:
        """The `features` entry of info.json; an unknown key is a `DataError` with the nearest valid name."""
        if key not in self.features:
            raise DataError(
                f"{self.root}/meta/info.json: features: there is no '{key}'; {nearest(key, list(self.features))}"
            )
        return self.features[key]

    @property
    def used_tasks(self) -> list[str]:
        """The instructions that frames have."""
        return [self.tasks[index] for index in sorted(self._task_numbers)]

    def task(self, frame: int) -> str:
        """The instruction of a frame, counted over the whole dataset."""
        return self.tasks[self.task_index[frame]]

    def frames(self, camera_key: str, episode: int) -> np.ndarray:
        """All pictures of one camera in one episode, uint8 (n, H, W, 3)."""
        return next(self.iter_frames(camera_key, [episode]))[1]

    def iter_frames(self, camera_key: str, episodes: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(episode, pictures as uint8 (n, H, W, 3)), each episode decoded once, in ascending order."""
        ordered = sorted(episodes)
        pictures = self.pictures(camera_key, ordered)
        for episode in ordered:
            yield episode, np.stack(list(itertools.islice(pictures, int(self.episode_lengths[episode]))))

    def pictures(self, camera_key: str, episodes: Iterable[int]) -> Iterator[np.ndarray]:
        """The pictures of ascending `episodes` one by one, uint8 (H, W, 3)."""
        rows = (row for episode in episodes for row in self.rows(episode))
        return (picture for _, picture in self.open_camera(camera_key).read(rows))

    def rows(self, episode: int) -> range:
        """The frames of an episode, counted over the whole dataset."""
        inside = self.episode_slices[episode]
        return range(int(inside.start), int(inside.stop))

    def videos(self, key: str) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
        """Each file of a camera, when it shows the frames of its episodes (s), and which they are."""
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
        """The first frame of a parquet file, counted over the whole dataset."""
        file = self._data_files.index(path)
        return int(self._file_ends[file - 1]) if file else 0

    @property
    def starts(self) -> np.ndarray:
        """The first frame of each episode, counted over the whole dataset, int64 (episodes,)."""
        return self._ends - self.episode_lengths

    def episodes_of(self, rows: np.ndarray) -> np.ndarray:
        """The episode of each of `rows`."""
        return np.searchsorted(self._ends, rows, side="right")

    def place(self, row: int) -> tuple[int, int]:
        """(episode, frame in the episode) of a frame that is counted over the whole dataset."""
        episode = int(np.searchsorted(self._ends, row, side="right"))
        return episode, row - int(self.episode_slices[episode].start)

    def video_frame(self, key: str, row: int) -> tuple[Path, float]:
        """The file that shows a frame of a video, and when (s)."""
        episode, frame = self.place(row)
        start = self._episode(f"videos/{key}/from_timestamp", episode)
        return self._video_file(key, episode), float(start + frame / self.fps)

    def data_file(self, row: int) -> tuple[Path, int]:
        """The parquet file of a frame, and its place in it."""
        file = int(np.searchsorted(self._file_ends, row, side="right"))
        return self._data_files[file], row - (int(self._file_ends[file - 1]) if file else 0)

    def open_camera(self, key: str) -> Camera:
        """A reader of one camera's pictures, for one thread."""
        feature = self.feature(key)
        if feature["dtype"] not in ("video", "image"):
            raise DataError(f"{self.root}/meta/info.json: '{key}' is {feature['dtype']}; expected video or image")
        return Camera(self, key)

    def check(self, format: Format, episodes: Sequence[int] | None = None, widest: int | None = None) -> None:
        """Read all that `format` uses: keys, widths, order, lengths (of `episodes`, or all), finite vectors, pictures.

        Raises `DataError`; also for vectors of more than `widest` dims.
        """
        check_fps(self, format)
        if widest is not None:
            check_widths(self, format, widest)
        check_lengths(self, format, episodes)
        check_frames(self)
        for camera_key in format.config.cameras.values():
            if self.feature(camera_key)["dtype"] == "video":
                check_video(self, camera_key)
            else:
                next(self.iter_frames(camera_key, [0]))
        vectors = self.vectors(format.vector_keys)
        for start in range(0, self.num_frames, BATCH):
            vectors.rows(start, min(start + BATCH, self.num_frames))
        widths = {key: np.ones((1, *self.features[key]["shape"]), np.float32) for key in format.vector_keys}
        format.to_relative(format.absolute_actions(widths), format.state(widths)[0])
        for task in self.used_tasks:
            format.prompt(task)

    def _info(self) -> dict[str, Any]:
        path = self.root / "meta/info.json"
        if not path.is_file():
            raise DataError(f"{path}: there is no such file; {self.root} is not a LeRobot dataset")
        try:
            info = json.loads(path.read_text())
        except ValueError as error:
            raise DataError(f"{path}: is not valid JSON ({error})") from error
        version = str(info.get("codebase_version"))
        if version.startswith("v2."):
            raise DataError(
                f"{path}: codebase_version is {version}; expected v3.0. Name the folder in config/datasets/<name>.yaml "
                "(`source: local`, `path`): scripts/make_dataset.py <name> converts it to data/<name>/lerobot"
            )
        if not version.startswith("v3."):
            raise DataError(f"{path}: codebase_version is {version}; expected v3.0")
        for key in ("features", "fps"):
            if key not in info:
                raise DataError(f"{path}: {key}: is required and missing")
        return info

    def _read_episodes(self) -> dict[str, np.ndarray]:
        paths = sorted((self.root / "meta/episodes").glob("*/*.parquet"))
        wanted = ("episode_index", "length", "dataset_from_index", "videos/")
        tables = [_read(path, [name for name in _schema(path).names if name.startswith(wanted)]) for path in paths]
        if not sum(table.num_rows for table in tables):
            raise DataError(f"{self.root}/meta/episodes: the dataset has no episodes; record or fetch some")
        table = pa.concat_tables(tables).sort_by("episode_index")
        episodes = {name: table[name].to_numpy() for name in table.column_names}
        length = episodes["length"]
        starts = np.cumsum(length) - length
        if (episodes["episode_index"] != np.arange(len(length))).any() or (length < 1).any():
            raise DataError(
                f"{self.root}/meta/episodes: expected episodes 0 to {len(length) - 1}, each once, none empty"
            )
        if (episodes["dataset_from_index"] != starts).any():
            raise DataError(f"{self.root}/meta/episodes: dataset_from_index does not follow from the lengths")
        return episodes

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
            for batch in batches(path, ["episode_index", "task_index"]):
                start, end = end, end + batch.num_rows
                expected = np.searchsorted(self._ends, np.arange(start, end), side="right")
                if (wrong := batch["episode_index"].to_numpy() != expected).any():
                    raise DataError(
                        f"{path}: frame {start + wrong.argmax()} is not of episode {expected[wrong.argmax()]}, as "
                        "meta/episodes says; fetch the dataset again"
                    )
                used |= set(np.unique(batch["task_index"].to_numpy()).tolist())
        if missing := used - self._task_numbers:
            raise DataError(
                f"{self.root}/meta/tasks.parquet: there is no task {min(missing)}, which frames of data/ name"
            )
        self._task_numbers = used
        for key, feature in self.features.items():
            if feature["dtype"] == "video":
                for episode in range(self.num_episodes):
                    if not (path := self._video_file(key, episode)).is_file():
                        raise DataError(f"{path}: the video of '{key}', episode {episode} is missing; fetch it again")

    def _read_tasks(self) -> list[str]:
        table = _read(self.root / "meta/tasks.parquet")
        names = [name for name in table.column_names if name != "task_index"]  # pandas may name the text's column
        tasks = dict(zip(table["task_index"].to_pylist(), table[names[0]].to_pylist(), strict=True))
        self._task_numbers = set(tasks)
        return [tasks.get(i, "") for i in range(max(tasks, default=-1) + 1)]

    def _read_data(self, key: str) -> pa.Array:
        columns = [_read(path, [key])[key] for path in self._data_files]
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks]).combine_chunks()

    def _video_file(self, key: str, episode: int) -> Path:
        chunk, file = (self._episode(f"videos/{key}/{name}_index", episode) for name in ("chunk", "file"))
        source = f"{self.root}/meta/info.json: video_path"
        places = {"chunk_index": int(chunk), "file_index": int(file)}
        return file_of(self.root, self._video_path, source, video_key=key, **places)

    def _episode(self, name: str, episode: int) -> float:
        if name not in self._episodes:
            raise DataError(f"{self.root}/meta/episodes: there is no column '{name}'")
        return self._episodes[name][episode]

    def _episode_timestamps(self, key: str, episode: int) -> np.ndarray:
        start = self._episode(f"videos/{key}/from_timestamp", episode)
        return start + np.arange(self.episode_lengths[episode]) / self.fps


def _metadata(path: Path) -> pq.FileMetaData:
    return parquet(path, pq.read_metadata)


def _schema(path: Path) -> pa.Schema:
    return parquet(path, pq.read_schema)


def _read(path: Path, columns: list[str] | None = None, filters: list | None = None) -> pa.Table:
    return parquet(path, lambda p: pq.read_table(p, columns=columns, filters=filters, partitioning=None))
