"""Writes videos of rollouts: start from `film`.

The chosen episodes are simulated again with the actions that were executed, and rendered with shadows and antialiasing;
the files have the same bytes every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from pisft.atomic import new_file
from pisft.config.simulators import SimulatorConfig
from pisft.evaluate.episode import Episode
from pisft.progress import bar
from pisft.simulators.base import SimulatorError
from pisft.simulators.episodes import replay
from pisft.simulators.pool import Pool

FPS = 20


class Filmed(NamedTuple):
    """How each simulator process was lost meanwhile, and which episodes have no video and why."""

    lost: list[str]
    failed: list[str]


def film(simulator: SimulatorConfig, episodes: Sequence[Episode], folder: Path, workers: int) -> Filmed:
    """Write `folder`/<name of the episode> for each of `episodes`; other videos in `folder` are removed.

    An episode whose replay ends differently gets no video, since it would show another episode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stride = max(1, round(simulator.fps / FPS))
    rolled_out = {(e.task, e.seed): (e.success, e.steps) for e in episodes}
    jobs = [(e.task, e.seed, e.actions, stride) for e in episodes]
    filmed, written = Filmed([], []), set()
    if jobs:
        with bar(len(jobs), "videos", "video") as progress, Pool(simulator, min(workers, len(jobs))) as pool:
            try:
                for (task, seed, *_), (images, outcome) in pool.map(replay, jobs):
                    if outcome == rolled_out[task, seed]:
                        written.add(folder / file_name(task, seed))
                        write_mp4(folder / file_name(task, seed), images, round(simulator.fps / stride))
                    else:
                        filmed.failed.append(
                            f"{task}, seed {seed}: {_told(*outcome)} in a replay, {_told(*rolled_out[task, seed])} in "
                            "the rollout; the simulator is not deterministic here, and its results cannot be trusted"
                        )
                    progress.update()
            except SimulatorError as error:
                filmed.failed.append(f"{len(jobs) - progress.n} of {len(jobs)} episodes: {error}")
            filmed.lost.extend(pool.replaced)
    for stale in set(folder.glob("*.mp4")) - written:
        stale.unlink()
    return filmed


def _told(success: bool, steps: int) -> str:
    return f"{'success' if success else 'failure'} after {steps} steps"


def choose(episodes: Iterable[Episode]) -> list[Episode]:
    """Return each task's first success and first failure, in the order in which they ran."""
    first: dict[tuple[str, bool], Episode] = {}
    for episode in episodes:
        first.setdefault((episode.task, episode.success), episode)
    return list(first.values())


def name(episode: Episode) -> str:
    """Return the file name of an episode's video."""
    return file_name(episode.task, episode.seed)


def file_name(task: str, seed: int) -> str:
    """Return the file name of the video of `task` and `seed`; a slash in a task's name becomes an underscore."""
    return f"{task.replace('/', '_')}_{seed}.mp4"


def write_mp4(path: Path, images: Sequence[np.ndarray], fps: int) -> None:
    """Write H.264 that every browser plays, atomically by a rename; images are uint8 (H, W, 3) with even sides."""
    height, width = images[0].shape[:2]
    # x264's output depends on the number of threads, and its macroblock tree is not deterministic.
    options = {"crf": "20", "preset": "medium", "threads": "1", "x264-params": "mbtree=0"}
    with (
        new_file(path) as temporary,
        av.open(str(temporary), "w", format="mp4", container_options={"movflags": "+faststart"}) as container,
    ):
        stream = container.add_stream("libx264", fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
