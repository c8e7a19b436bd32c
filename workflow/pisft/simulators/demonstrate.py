"""Records demonstrations by a simulator's scripted expert as a LeRobot dataset. Start from `record`.

Episodes are staged one by one beside the dataset, so that an interrupted recording resumes; the dataset is assembled
when all are there, and put in place by a rename.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pisft.canonical import digest
from pisft.config.dataset import GeneratedDataset
from pisft.config.simulators import SimulatorConfig
from pisft.progress import bar
from pisft.simulators.base import SimulatorError
from pisft.simulators.episodes import demonstrate
from pisft.simulators.pool import Pool
from pisft.simulators.versions import versions


def record(
    origin: GeneratedDataset, simulator: SimulatorConfig, out: Path, workers: int, code: str = ""
) -> dict[str, Any]:
    """Write the LeRobot v3.0 dataset `out` with `workers` processes; returns facts for its manifest.

    The bytes are the same for any number of workers and after any interruption. An existing `out` stays until the new
    one is complete. Episodes of an interrupted recording are used again if settings, packages and `code` (a digest of
    what makes them) are the same. Raises `SimulatorError`, and `OSError` if the disk is full.
    """
    staging = out.parent / "staging" / _staging_key(simulator, origin.action_noise, code)
    seeds = _stage(origin, simulator, staging, workers)
    # imported here because it takes seconds and imports torch, which workers that import this module must not load
    from pisft.simulators.assemble import assemble

    episodes = [staging / task / f"{seed}.npz" for task in origin.tasks for seed in seeds[task]]
    assemble(episodes, simulator, out)
    shutil.rmtree(out.parent / "staging")
    return {
        "expert": f"{simulator.simulator}'s scripted expert",
        "packages": versions(simulator),
        "seeds": seeds,
        "render": simulator.own()["render"],
        "max_steps": {task: simulator.cap(task) for task in origin.tasks},
    }


def _stage(origin: GeneratedDataset, simulator: SimulatorConfig, staging: Path, workers: int) -> dict[str, list[int]]:
    """Record every episode that is not staged yet; returns the seeds of each task's episodes, in order.

    Episode i has the range's i-th seed, or, if the expert fails on it, the first of the seeds i + k·episodes_per_task
    in the range on which it succeeds.
    """
    range_, count = simulator.seeds[origin.seeds], origin.episodes_per_task
    seeds = {(task, i): range_.first + i for task in origin.tasks for i in range(count)}
    for task in origin.tasks:
        (staging / task).mkdir(parents=True, exist_ok=True)
    todo = set(seeds)
    with bar(len(todo), "demonstrations", "episode") as progress, Pool(simulator, workers) as pool:
        while todo:
            paths = {staging / task / f"{seeds[task, i]}.npz": (task, i) for task, i in sorted(todo)}
            done = {path: _succeeded(path) for path in paths if zipfile.is_zipfile(path)}
            progress.update(sum(done.values()))
            missing = [
                (task, seeds[task, i], path, origin.action_noise)
                for path, (task, i) in paths.items()
                if path not in done
            ]
            for (_, _, path, _), success in pool.map(demonstrate, missing):
                done[path] = success
                progress.update(success)
            todo = {paths[path] for path, success in done.items() if not success}
            for task, i in todo:
                seeds[task, i] += count
                if seeds[task, i] > range_.last:
                    raise SimulatorError(
                        f"{task}: the expert failed on every seed of '{origin.seeds}' ({range_.first}-{range_.last}) "
                        f"that episode {i} could have; raise max_steps, widen the range or leave the task out"
                    )
    return {task: [seeds[task, i] for i in range(count)] for task in origin.tasks}


def _succeeded(path: Path) -> bool:
    with np.load(path) as staged:
        return bool(staged["success"])


def _staging_key(simulator: SimulatorConfig, action_noise: float, code: str = "") -> str:
    """Hash what an episode depends on besides task and seed, so that no other recording's is reused."""
    content = {
        "simulator": simulator.model_dump(mode="json", exclude={"suites", "seeds", "fps", "timeout_s"}),
        "packages": versions(simulator),
        "action_noise": action_noise,
        "code": code,
    }
    return digest(content)[:16]
