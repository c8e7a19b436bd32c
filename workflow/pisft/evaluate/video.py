"""Pictures of rollouts for a person: start from `film`. The chosen episodes are simulated once more with the actions
that were executed, and drawn with shadows and smooth edges; the files are the same bytes every time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np

from pisft.config.simulator import SimulatorConfig
from pisft.evaluate.episode import Episode
from pisft.progress import bar
from pisft.simulators.episodes import replay
from pisft.simulators.pool import Pool

FPS = 20


def film(simulator: SimulatorConfig, episodes: Sequence[Episode], folder: Path, workers: int) -> None:
    """Write `folder`/<name of the episode> for each of `episodes`; other videos in `folder` are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    stride = max(1, round(simulator.fps / FPS))
    jobs = [(e.task, e.seed, e.actions, (e.success, e.steps), stride) for e in episodes]
    if jobs:
        with bar(len(jobs), "videos", "video") as progress, Pool(simulator, min(workers, len(jobs))) as pool:
            for (task, seed, *_), pictures in pool.map(replay, jobs):
                write_mp4(folder / file_name(task, seed), pictures, round(simulator.fps / stride))
                progress.update()
    for stale in set(folder.glob("*.mp4")) - {folder / name(episode) for episode in episodes}:
        stale.unlink()


def choose(episodes: Iterable[Episode]) -> list[Episode]:
    """Each task's first success and first failure, in the order in which they ran."""
    first: dict[tuple[str, bool], Episode] = {}
    for episode in episodes:
        first.setdefault((episode.task, episode.success), episode)
    return list(first.values())


def name(episode: Episode) -> str:
    """File name of an episode's video."""
    return file_name(episode.task, episode.seed)


def file_name(task: str, seed: int) -> str:
    """The same, of the episode of `task` and `seed`; a task of another simulator's may have a slash in its name."""
    return f"{task.replace('/', '_')}_{seed}.mp4"


def write_mp4(path: Path, pictures: Sequence[np.ndarray], fps: int) -> None:
    """H.264 that every browser plays, put in place by a rename; pictures uint8 (H, W, 3) with even sides."""
    height, width = pictures[0].shape[:2]
    temporary = path.with_name(f".{path.name}.tmp")
    # x264 decides by the number of threads, and its macroblock tree now and then otherwise on the same pictures.
    options = {"crf": "20", "preset": "medium", "threads": "1", "x264-params": "mbtree=0"}
    try:
        with av.open(str(temporary), "w", format="mp4", container_options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", fps, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
