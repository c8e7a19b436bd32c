"""Reads a v3.0 dataset's meta/episodes and meta/tasks.parquet; only the columns that are used need to exist.

Start from `read_episodes(root)` and `read_tasks(root)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pisft.data.errors import DataError
from pisft.data.lerobot.vectors import parquet, read_table

TEXTS = ("task", "__index_level_0__")  # names of the instruction's column, as lerobot and as pandas write it


class Episodes:
    """The table of episodes by column; `length` is int64 (episodes,)."""

    def __init__(self, root: Path, table: pa.Table):
        self.folder = root / "meta/episodes"
        self._table = table
        self.length = self.column("length")

    def column(self, name: str) -> np.ndarray:
        """Return a column of finite numbers, (episodes,); raises `DataError` if it is not one."""
        if name not in self._table.column_names:
            raise DataError(f"{self.folder}: there is no column '{name}'; fetch the dataset again")
        column = self._table[name]
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or column.null_count:
            raise DataError(f"{self.folder}: '{name}' is {kind}, {column.null_count} null; expected numbers")
        values = column.to_numpy()
        if not np.isfinite(values).all() or (np.abs(values) > 2**53).any():
            raise DataError(f"{self.folder}: '{name}' holds a number that is not finite, or huge; expected one a piece")
        return values

    def has(self, name: str) -> bool:
        """Whether the table has the column `name`."""
        return name in self._table.column_names

    def instructions(self) -> list[str]:
        """Return each episode's instruction; raises `DataError` if an episode has none or several."""
        tasks = self._table["tasks"].to_pylist() if self.has("tasks") else [None] * len(self._table)
        for episode, own in enumerate(tasks):
            if not isinstance(own, list) or len(own) != 1 or not isinstance(own[0], str):
                raise DataError(
                    f"{self.folder}: tasks: found {str(own)[:60]} of episode {episode}; frames have no task_index, so "
                    "expected the one instruction of each episode, or a column task_index in data/"
                )
        return [own[0] for own in tasks if own]


def read_episodes(root: Path) -> Episodes:
    """Read meta/episodes; raises `DataError` unless it lists episodes 0 to n - 1, each once and none empty."""
    wanted = ("episode_index", "length", "dataset_from_index", "tasks", "videos/")
    tables = []
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        names = [name for name in parquet(path, pq.read_schema).names if name.startswith(wanted)]
        tables.append(parquet(path, lambda p, names=names: read_table(p, columns=names)))
    if not sum(table.num_rows for table in tables):
        raise DataError(f"{root}/meta/episodes: the dataset has no episodes; record or fetch some")
    try:
        table = pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise DataError(f"{root}/meta/episodes: its files have columns of unlike types ({error})") from error
    order = np.argsort(Episodes(root, table).column("episode_index"), kind="stable")
    episodes = Episodes(root, table.take(order))
    numbers, length = episodes.column("episode_index"), episodes.length
    if (numbers != np.arange(len(length))).any() or (length < 1).any() or (length != np.floor(length)).any():
        raise DataError(f"{root}/meta/episodes: expected episodes 0 to {len(length) - 1}, each once, none empty")
    episodes.length = length.astype(np.int64)
    starts = np.cumsum(episodes.length) - episodes.length
    if episodes.has("dataset_from_index") and (episodes.column("dataset_from_index") != starts).any():
        raise DataError(f"{root}/meta/episodes: dataset_from_index does not follow from the lengths")
    return episodes


def read_tasks(root: Path) -> dict[int, str]:
    """Return instruction by number; its column is `task` or pandas' index, else the only text column."""
    path = root / "meta/tasks.parquet"
    table = parquet(path, read_table)
    texts = [name for name in table.column_names if _is_text(table[name].type)]
    names = [name for name in TEXTS if name in texts] or texts
    if "task_index" not in table.column_names or not pa.types.is_integer(table["task_index"].type):
        raise DataError(f"{path}: has no column task_index of whole numbers; found {_columns(table)}")
    if not names or (len(names) > 1 and names[0] not in TEXTS):
        raise DataError(f"{path}: which column is the instruction? Expected one called task; found {_columns(table)}")
    numbers, tasks = table["task_index"].to_pylist(), table[names[0]].to_pylist()
    if None in numbers or None in tasks or len(set(numbers)) != len(numbers):
        raise DataError(f"{path}: task_index and {names[0]}: expected each number once, each with a text")
    return dict(zip(numbers, tasks, strict=True))


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _columns(table: pa.Table) -> str:
    return ", ".join(f"{name} ({table[name].type})" for name in table.column_names)
