"""Checks a dataset's frames: their order and timestamps (`check_frames`), and its videos (`check_video`)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pisft.data.errors import DataError
from pisft.data.lerobot import video
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.vectors import read_table

TOLERANCE = 0.25  # of a frame's duration; recorders' clocks are not exact


def check_frames(data: LeRobotData) -> None:
    """Raise `DataError` unless each episode's frames are numbered 0, 1, … and their timestamps are 1/fps apart."""
    names = ("frame_index", "timestamp")
    for path in data.data_files:
        first = data.first_row(path)
        schema = pq.read_schema(path)
        columns = [name for name in names if name in schema.names]
        for name in columns:
            kind = schema.field(name).type
            if not (pa.types.is_integer(kind) or (pa.types.is_floating(kind) and name == "timestamp")):
                raise DataError(f"{path}: {name}: found {kind}; expected one number a frame")
        table = read_table(path, columns=columns)
        for name in columns:
            if absent := table[name].null_count:
                raise DataError(
                    f"{path}: {name}: {absent} of {table.num_rows} frames have none; expected a number each"
                )
        rows = np.arange(first, first + table.num_rows)
        expected = rows - data.starts[data.episodes_of(rows)]
        if "frame_index" in columns:
            found = table["frame_index"].to_numpy()
            if (wrong := found != expected).any():
                row = int(rows[wrong.argmax()])
                episode, frame = data.place(row)
                number = int(found[wrong.argmax()])
                what = (
                    "again: frames are out of order or there twice" if number < frame else "too early: some are missing"
                )
                raise DataError(
                    f"{path}: episode {episode}, frame {frame}: frame_index is {number}: {what}; sort the dataset by "
                    "episode_index and frame_index and drop what is double, or record the episode again"
                )
        if "timestamp" in columns:
            found = table["timestamp"].to_numpy().astype(float)
            late = found - expected / data.fps
            if (wrong := ~(np.abs(late) <= TOLERANCE / data.fps)).any():
                row = int(rows[wrong.argmax()])
                episode, frame = data.place(row)
                raise DataError(
                    f"{path}: episode {episode}, frame {frame}: timestamp is {found[wrong.argmax()]:.4f} s; by "
                    f"the {data.fps:g} frames/s of meta/info.json it is {frame / data.fps:.4f} s: fix one of them"
                )


def check_video(data: LeRobotData, key: str) -> None:
    """Raise `DataError` unless a camera's files have every frame of their episodes, at the dataset's frame rate."""
    for path, timestamps, rows in data.videos(key):
        try:
            video.check(path, timestamps, data.fps)
        except video.MissingFrame as error:
            episode, frame = data.place(int(rows[error.position]))
            raise DataError(f"'{key}' of episode {episode}, frame {frame}: {error}") from error
        except DataError as error:
            raise DataError(f"'{key}' of episode {data.place(int(rows[0]))[0]}: {error}") from error
