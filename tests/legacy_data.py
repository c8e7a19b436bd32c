"""LeRobot v2.0 and v2.1 datasets, laid out as those versions were: start from `make_legacy_dataset`."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
from lerobot_data import episode_images, make_lerobot_dataset
from pisft.data.lerobot.dataset import LeRobotData

CAMERA = "observation.image"


def make_legacy_dataset(path: Path, version: str, video: bool = True, **changes) -> Path:
    """The dataset that `make_lerobot_dataset` writes, as `version`: a file an episode, metadata as JSON lines."""
    new = LeRobotData(make_lerobot_dataset(path.with_name(f"{path.name}_new"), video=video, **changes))
    (path / "meta").mkdir(parents=True)
    table = pq.read_table(new.data_files[0], partitioning=None)
    episodes, stats = [], []
    for episode in range(new.num_episodes):
        rows = new.rows(episode)
        part = table.slice(rows.start, len(rows))
        file = path / f"data/chunk-000/episode_{episode:06d}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(part, file)
        if video:
            movie = path / f"videos/chunk-000/{CAMERA}/episode_{episode:06d}.mp4"
            movie.parent.mkdir(parents=True, exist_ok=True)
            _write_video(movie, episode_images(new, CAMERA, episode), int(new.fps))
        episodes.append({"episode_index": episode, "tasks": [new.task(rows[0])], "length": len(rows)})
        stats.append({"episode_index": episode, "stats": _stats(new, part, rows)})
    info = json.loads((new.root / "meta/info.json").read_text())
    for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
        info.pop(key)
    info |= {
        "codebase_version": version,
        "total_chunks": 1,
        "total_videos": new.num_episodes if video else 0,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4" if video else None,
    }
    (path / "meta/info.json").write_text(json.dumps(info, indent=4))
    tasks = [{"task_index": i, "task": task} for i, task in enumerate(new.tasks)]
    for name, lines in (("tasks", tasks), ("episodes", episodes)):
        _write_lines(path / f"meta/{name}.jsonl", lines)
    if version == "v2.1":
        _write_lines(path / "meta/episodes_stats.jsonl", stats)
    else:
        (path / "meta/stats.json").write_text(json.dumps(stats[0]["stats"]))
    return path


def _stats(data: LeRobotData, part, rows: range) -> dict:
    found = {}
    for key, feature in data.features.items():
        if feature["dtype"] in ("image", "video"):
            zero = [[[0.5]]] * 3
            found[key] = {"min": zero, "max": zero, "mean": zero, "std": zero, "count": [len(rows)]}
        else:
            x = np.asarray(part[key].to_pylist(), float).reshape(len(rows), -1)
            quantities = {"min": x.min(0), "max": x.max(0), "mean": x.mean(0), "std": x.std(0)}
            found[key] = {name: value.tolist() for name, value in quantities.items()} | {"count": [len(rows)]}
    return found


def _write_lines(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _write_video(path: Path, frames: np.ndarray, fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"g": "2", "crf": "18"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
