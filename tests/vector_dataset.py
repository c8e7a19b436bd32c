"""LeRobot v3.0 datasets of vectors alone, written in a moment: start from `write(root, vectors, lengths)`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write(
    root: Path, vectors: Mapping[str, np.ndarray], lengths: Sequence[int], group: int = 2**20, files: int = 1
) -> Path:
    """Write episodes of `lengths` whose rows are `vectors` (frames, d), in `files` files with row groups of `group`."""
    frames = sum(lengths)
    columns = {
        key: pa.FixedSizeListArray.from_arrays(pa.array(np.float32(x).reshape(-1)), x.shape[1])
        for key, x in vectors.items()
    }
    table = pa.table(
        columns
        | {
            "episode_index": np.repeat(np.arange(len(lengths)), lengths),
            "task_index": np.zeros(frames, np.int64),
        }
    )
    features = {key: {"dtype": "float32", "shape": [x.shape[1]], "names": None} for key, x in vectors.items()}
    episodes = {
        "episode_index": np.arange(len(lengths)),
        "length": np.array(lengths),
        "dataset_from_index": np.cumsum(lengths) - lengths,
    }
    for folder in ("meta/episodes/chunk-000", "data/chunk-000"):
        (root / folder).mkdir(parents=True)
    info = {"codebase_version": "v3.0", "fps": 50, "features": features}
    (root / "meta/info.json").write_text(json.dumps(info))
    pq.write_table(pa.table({"task_index": [0], "task": ["reach"]}), root / "meta/tasks.parquet")
    pq.write_table(pa.table(episodes), root / "meta/episodes/chunk-000/file-000.parquet")
    edges = np.linspace(0, frames, files + 1).astype(int)
    for i in range(files):
        part = table.slice(edges[i], edges[i + 1] - edges[i])
        pq.write_table(part, root / f"data/chunk-000/file-{i:03d}.parquet", row_group_size=group)
    return root
