"""Streams vector features of a dataset; memory is that of one batch of rows, whatever the dataset's length.

Start from `LeRobotData.vectors(keys)`, which returns a `Vectors`; `rows(start, stop)` is fast when read forwards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pisft.data.errors import DataError

BATCH = 4096  # rows decoded at a time
BUFFER = 2**20  # bytes read at a time


class Batch(NamedTuple):
    """Rows `start` up to `stop` of the dataset, by key."""

    start: int
    stop: int
    values: dict[str, np.ndarray]


class Vectors:
    """A cursor over the rows of all episodes in sequence; it can be sent to another process before its first use.

    `widths` maps the keys to read to their dims; `episode_ends` is used in messages.
    """

    def __init__(self, root: Path, files: Sequence[Path], widths: Mapping[str, int], episode_ends: np.ndarray):
        self.root = root
        self.widths = dict(widths)
        self._episode_ends = episode_ends
        self._groups: list[tuple[Path, int, int]] = []  # for each row group: file, index in it, groups in the file
        self._starts = [0]  # the first row of each row group, then the number of rows
        for path in files:
            metadata = parquet(path, pq.read_metadata)
            for group in range(metadata.num_row_groups):
                self._groups.append((path, group, metadata.num_row_groups))
                self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._next = self._end = 0  # the rows that `_batches` has yet to yield
        self._held: deque[Batch] = deque()

    def __len__(self) -> int:
        return self._starts[-1]

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Return rows `start` up to `stop`, float32 (n, d) by key; rows before those of the last call are read again.

        Raises `DataError` for data that cannot be read, has other dims than `widths` or is not finite.
        """
        if self._held and start < self._held[0].start:
            self._held.clear()
        while self._held and self._held[0].stop <= start:
            self._held.popleft()
        while not self._held or self._held[-1].stop < stop:
            self._held.append(self._read(max(start, self._held[-1].stop if self._held else 0)))
        parts = [
            {key: x[max(0, start - batch.start) : stop - batch.start] for key, x in batch.values.items()}
            for batch in self._held
            if batch.start < stop
        ]
        found = {key: np.concatenate([part[key] for part in parts]) for key in self.widths}
        for key, values in found.items():
            if not np.isfinite(values).all():
                row, dim = np.argwhere(~np.isfinite(values))[0]
                file, episode, frame = self.place(start + row)
                raise DataError(
                    f"{file}: '{key}' of episode {episode}, frame {frame}, dim {dim} is {values[row, dim]}; expected a "
                    "finite number. Leave the episode out or fix it"
                )
        return found

    def place(self, row: int) -> tuple[Path, int, int]:
        """Return (file, episode, frame in the episode) of a row."""
        episode = int(np.searchsorted(self._episode_ends, row, side="right"))
        start = int(self._episode_ends[episode - 1]) if episode else 0
        return self._groups[bisect_right(self._starts, row) - 1][0], episode, row - start

    def _read(self, row: int) -> Batch:
        """Return the batch that holds `row`; skips whole row groups where possible."""
        group = bisect_right(self._starts, row) - 1
        if not self._next <= row < self._end or self._starts[group] > self._next:
            path, place, count = self._groups[group]
            self._batches = batches(path, list(self.widths), range(place, count))
            self._next, self._end = self._starts[group], self._starts[group + count - place]
        while True:
            batch = next(self._batches)
            start, self._next = self._next, self._next + batch.num_rows
            if row < self._next:
                return Batch(start, self._next, {key: self._array(batch[key], key) for key in self.widths})

    def _array(self, column: pa.Array, key: str) -> np.ndarray:
        try:
            return to_array(column, self.widths[key])
        except ValueError as error:
            raise DataError(f"{self.root}/data: '{key}' {error}; fix the dataset's info.json or its data") from error


def to_array(column: pa.Array, width: int) -> np.ndarray:
    """Convert a column of numbers, or of lists or tables of `width` numbers, to float32 (rows, width).

    Raises `ValueError` if it does not fit.
    """
    rows, nested = len(column), pa.types.is_nested(column.type)
    begins = np.arange(rows + 1)  # index of each row's first number
    while pa.types.is_nested(column.type):
        if not hasattr(column.type, "value_type"):
            raise ValueError(f"is {column.type}; expected numbers")
        fixed = getattr(column.type, "list_size", None)
        inner = np.asarray(column.offsets) if fixed is None else np.arange(len(column) + 1) * fixed
        begins, column = inner[begins] - inner[0], column.flatten()
    if nested and ((counts := np.diff(begins)) != width).any():
        raise ValueError(f"has {counts[counts != width][0]} values a frame; info.json says {width}")
    values = column.to_numpy(zero_copy_only=False).astype(np.float32)
    if values.size != rows * width:
        raise ValueError(f"has missing values, or more than the {width} of info.json")
    return values.reshape(rows, width)


def batches(path: Path, columns: list[str], groups: Iterable[int] | None = None) -> Iterator[pa.RecordBatch]:
    """Stream `columns` of a file's row groups (None for all); raises `DataError`."""
    file = parquet(path, lambda p: pq.ParquetFile(p, pre_buffer=False, buffer_size=BUFFER))
    stream = file.iter_batches(BATCH, groups, columns, use_threads=False)
    while (batch := parquet(path, lambda _: next(stream, None))) is not None:
        yield batch


def read_table(path: Path, columns: list[str] | None = None, filters: Any = None) -> pa.Table:
    """Some columns and rows of one file (None for all), whatever its folders are called."""
    # the parameter's type is taken from its default
    return pq.read_table(path, columns=columns, filters=filters, partitioning=None)  # pyright: ignore[reportArgumentType]


def parquet[T](path: Path, read: Callable[[Path], T]) -> T:
    """Return `read(path)`; raises `DataError` if the file cannot be read."""
    try:
        return read(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}); fetch the dataset again") from error
