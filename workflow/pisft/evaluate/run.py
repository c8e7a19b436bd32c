"""What eval.json holds, and how it comes about. Start from `evaluate`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from pisft.canonical import write_json
from pisft.config.experiment import Resolved
from pisft.data.loading.preprocess import Preprocessor
from pisft.data.loading.split import parts
from pisft.data.loading.training_set import TrainingSet
from pisft.data.sources.library import open_dataset
from pisft.evaluate import kept_actions
from pisft.evaluate.episode import Episode
from pisft.evaluate.intervals import mean95, wilson95
from pisft.evaluate.open_loop import open_loop
from pisft.evaluate.policy import SAMPLING_STEPS, load_policy
from pisft.evaluate.rollout import Actor, rollout
from pisft.evaluate.video import choose, film, name
from pisft.simulators.versions import versions


def evaluate(
    config: Resolved,
    run_dir: Path,
    data_root: Path,
    device: torch.device,
    workers: int,
    kept: Path | None = None,
    actor: Actor | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(eval.json's content, how it went: seconds of each part, how simulator processes were lost and why episodes were
    not filmed) of the checkpoint in `run_dir`, which also gets `videos/`, rollouts.safetensors and traces.json.

    The first has no clock, host or path in it, and is the same for every number of `workers`. `kept` is a folder for
    finished rollouts, which an evaluation that is interrupted goes on from; `actor` acts in the checkpoint's stead,
    which has to be the same one, served. Raises `PisftError`s.
    """
    policy = load_policy(config, run_dir / "checkpoint", device)
    checkpoint = json.loads((run_dir / "checkpoint.json").read_text())

    timing: dict[str, Any] = {}
    started = time.perf_counter()
    demonstrations, episodes = _demonstrations(config, data_root, policy.preprocessor)
    opened, traces = open_loop(policy, demonstrations, episodes)
    opened = {"held_out": not config.split.without_validation} | opened
    write_json(run_dir / "traces.json", traces)
    timing["open_loop_s"] = time.perf_counter() - started
    closed = None
    if config.eval.closed_loop:
        closed = closed_loop(config, actor or policy, run_dir, workers, timing, kept)
    content = {
        "experiment": config.name,
        "checkpoint": {
            "step": checkpoint["step"],
            "sha256": checkpoint["files"]["model.safetensors"]["sha256"],
        },
        "open_loop": opened,
        "closed_loop": closed,
    }
    return _rounded(content), _rounded(timing)


def closed_loop(
    config: Resolved,
    policy: Actor,
    folder: Path | None,
    workers: int,
    timing: dict[str, Any],
    kept: Path | None = None,
) -> dict[str, Any]:
    """Roll out `config.eval.closed_loop`, film some episodes and keep what all of them did in `folder`, and add up.

    Without a folder nothing is filmed or kept. `timing` gets how it went.
    """
    loop = config.eval.closed_loop
    simulator = config.simulators[loop.simulator]
    suites = {suite: simulator.suites[suite] for suite in loop.suites}
    tasks = list(dict.fromkeys(task for suite in suites.values() for task in suite))
    first = simulator.seeds[loop.seeds].first + loop.seed
    seeds = range(first, first + loop.episodes_per_task)

    started = time.perf_counter()
    episodes, timing["lost_simulators"] = rollout(
        simulator,
        [(task, seed) for task in tasks for seed in seeds],
        policy,
        replan_steps=loop.replan_steps,
        batch_size=loop.batch_size,
        seed=loop.seed,
        workers=workers,
        cameras=tuple(config.format.cameras.values()),
        kept=kept,
    )
    timing["rollouts_s"] = time.perf_counter() - started
    shown: set[str] = set()
    if folder is not None:
        started = time.perf_counter()
        kept_actions.save(folder, episodes)
        filmed = film(simulator, choose(episodes), folder / "videos", workers)
        shown = {path.name for path in (folder / "videos").iterdir()}
        timing["lost_simulators"] += filmed.lost
        timing["not_filmed"] = filmed.failed
        timing["videos_s"] = time.perf_counter() - started

    return {
        "protocol": {
            "simulator": simulator.simulator,
            "suites": suites,
            "tasks": {task: simulator.tasks[task] for task in tasks},
            "packages": versions(simulator),
            "max_steps": simulator.max_steps,
            "replan_steps": loop.replan_steps,
            "batch_size": loop.batch_size,
            "episodes_per_task": loop.episodes_per_task,
            "seeds": {"range": loop.seeds, "first": seeds[0], "last": seeds[-1]},
            **simulator.own(),
            "sampling_steps": SAMPLING_STEPS,
        },
        "tasks": {task: success_rate(e for e in episodes if e.task == task) for task in tasks},
        "suites": {suite: success_rate(e for e in episodes if e.task in suites[suite]) for suite in suites},
        "overall": success_rate(episodes),
        **({"chains": chains(episodes, simulator.stages)} if simulator.stages > 1 else {}),
        "episodes": [
            {
                "task": episode.task,
                "seed": episode.seed,
                "success": episode.success,
                "steps": episode.steps,
                "video": f"videos/{name(episode)}" if name(episode) in shown else None,
            }
            for episode in episodes
        ],
    }


def success_rate(episodes: Iterable[Episode]) -> dict[str, Any]:
    """Successes, episodes, their ratio and its 95 % interval."""
    outcomes = [episode.success for episode in episodes]
    return {
        "successes": sum(outcomes),
        "episodes": len(outcomes),
        "success": sum(outcomes) / len(outcomes),
        "wilson95": list(wilson95(sum(outcomes), len(outcomes))),
    }


def chains(episodes: Sequence[Episode], stages: int) -> dict[str, Any]:
    """CALVIN's numbers: the mean of the tasks completed in a row with Student's 95 % interval, as far as lengths go
    (None for a single chain), and the rate of those who completed 1, 2, …"""
    at_least = [sum(episode.completed >= n for episode in episodes) for n in range(1, stages + 1)]
    lengths = [episode.completed for episode in episodes]
    interval = mean95(lengths)
    return {
        "average_length": sum(lengths) / len(lengths),
        "interval95": interval and [max(0.0, interval[0]), min(float(stages), interval[1])],
        "at_least": {
            str(n): {"success": count / len(episodes), "wilson95": list(wilson95(count, len(episodes)))}
            for n, count in enumerate(at_least, 1)
        },
    }


def _demonstrations(
    config: Resolved, data_root: Path, preprocessor: Preprocessor
) -> tuple[TrainingSet, list[dict[str, Any]]]:
    """`config.eval.open_loop.episodes` held-out episodes, the first ones of each dataset, and which they are; where
    nothing is held out, of those that were trained on."""
    datasets = [open_dataset(data_root / use.name) for use in config.datasets]
    part = 0 if config.split.without_validation else 1
    numbered = [parts(use, data, config.split)[part] for use, data in zip(config.datasets, datasets, strict=True)]
    counts = shares([len(numbers) for numbers in numbered], config.eval.open_loop.episodes)
    chosen = [numbers[:count] for numbers, count in zip(numbered, counts, strict=True)]
    episodes = [
        {"dataset": use.name, "episode": episode}
        for use, numbers in zip(config.datasets, chosen, strict=True)
        for episode in numbers
    ]
    return TrainingSet(datasets, preprocessor, chosen), episodes


def shares(sizes: Sequence[int], wanted: int) -> list[int]:
    """How many of each are taken, one of each in turn as long as it has any, until there are `wanted` or all."""
    turns = sorted((turn, place) for place, size in enumerate(sizes) for turn in range(size))[:wanted]
    return [sum(taken == place for _, taken in turns) for place in range(len(sizes))]


def _rounded(content: Any) -> Any:
    """Floats to six decimals, in dicts and lists of any depth."""
    if isinstance(content, float):
        return round(content, 6)
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_rounded(value) for value in content]
    return content
