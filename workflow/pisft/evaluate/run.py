"""Evaluates a checkpoint, open-loop and closed-loop. Start from `evaluate`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from pisft.canonical import write_json
from pisft.config.experiment import Resolved
from pisft.data.loading.preprocess import Preprocessor
from pisft.data.loading.split import parts
from pisft.data.loading.training_set import TrainingSet
from pisft.data.sources.library import open_dataset
from pisft.evaluate import recorded_actions
from pisft.evaluate.episode import Episode
from pisft.evaluate.intervals import mean95, wilson95
from pisft.evaluate.open_loop import open_loop
from pisft.evaluate.policy import SAMPLING_STEPS, load_policy
from pisft.evaluate.rollout import Actor, rollout
from pisft.evaluate.video import choose, film, name
from pisft.model.compiling import keep_in
from pisft.records.checkpoint import CheckpointIndex
from pisft.records.evaluation import (
    Chains,
    ClosedLoop,
    EpisodeOfDataset,
    EpisodeOutcome,
    EvaluatedCheckpoint,
    Evaluation,
    Protocol,
    Rate,
    Reached,
    Seeds,
)
from pisft.simulators.versions import versions


def evaluate(
    config: Resolved,
    run_dir: Path,
    data_root: Path,
    device: torch.device,
    workers: int,
    state: Path | None = None,
    actor: Actor | None = None,
) -> tuple[Evaluation, dict[str, Any]]:
    """Evaluate the checkpoint in `run_dir`, which also gets `videos/`, rollouts.safetensors and traces.json.

    Returns the content of eval.json, which has no clock, host or path in it and is the same for every number of
    `workers`, and how it went: seconds of each part, how simulator processes were lost, why episodes were not filmed.
    `state` is a folder for finished rollouts, from which an interrupted evaluation resumes; `actor` acts in place of
    the checkpoint, and has to be the same one, served. Raises `PisftError`s.
    """
    keep_in(data_root.parent)
    policy = load_policy(config, run_dir / "checkpoint", device)
    checkpoint = CheckpointIndex.read_from(run_dir)

    timing: dict[str, Any] = {"sampling": policy.sampler.how}
    started = time.perf_counter()
    demonstrations, episodes = _demonstrations(config, data_root, policy.preprocessor)
    opened, traces = open_loop(policy, demonstrations, episodes, held_out=not config.split.without_validation)
    write_json(run_dir / "traces.json", traces)
    timing["open_loop_s"] = time.perf_counter() - started
    closed = None
    if config.eval.closed_loop:
        closed = closed_loop(config, actor or policy, run_dir, workers, timing, state)
    content = Evaluation(
        experiment=config.name,
        checkpoint=EvaluatedCheckpoint(step=checkpoint.step, sha256=checkpoint.files["model.safetensors"].sha256),
        open_loop=opened,
        closed_loop=closed,
    )
    return rounded(content), _rounded(timing)


def closed_loop(
    config: Resolved,
    policy: Actor,
    folder: Path | None,
    workers: int,
    timing: dict[str, Any],
    state: Path | None = None,
) -> ClosedLoop:
    """Roll out `config.eval.closed_loop`, film some episodes, save the actions of all in `folder`, and add up.

    Without a folder nothing is filmed or saved. `timing` gets how it went.
    """
    loop = config.eval.closed_loop
    assert loop is not None, "the caller looks whether there is one"
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
        state=state,
    )
    timing["rollouts_s"] = time.perf_counter() - started
    shown: set[str] = set()
    if folder is not None:
        started = time.perf_counter()
        recorded_actions.save(folder, episodes)
        filmed = film(simulator, choose(episodes), folder / "videos", workers)
        shown = {path.name for path in (folder / "videos").iterdir()}
        timing["lost_simulators"] += filmed.lost
        timing["not_filmed"] = filmed.failed
        timing["videos_s"] = time.perf_counter() - started

    return ClosedLoop(
        protocol=Protocol(
            simulator=simulator.simulator,
            suites=suites,
            tasks={task: simulator.tasks[task] for task in tasks},
            packages=versions(simulator),
            max_steps=simulator.max_steps,
            replan_steps=loop.replan_steps,
            batch_size=loop.batch_size,
            episodes_per_task=loop.episodes_per_task,
            seeds=Seeds(range=loop.seeds, first=seeds[0], last=seeds[-1]),
            settings=simulator.own(),
            sampling_steps=SAMPLING_STEPS,
        ),
        tasks={task: success_rate(e for e in episodes if e.task == task) for task in tasks},
        suites={suite: success_rate(e for e in episodes if e.task in suites[suite]) for suite in suites},
        overall=success_rate(episodes),
        chains=chains(episodes, simulator.stages) if simulator.stages > 1 else None,
        episodes=[
            EpisodeOutcome(
                task=episode.task,
                seed=episode.seed,
                success=episode.success,
                steps=episode.steps,
                video=f"videos/{name(episode)}" if name(episode) in shown else None,
            )
            for episode in episodes
        ],
    )


def success_rate(episodes: Iterable[Episode]) -> Rate:
    """Count the successes of `episodes`."""
    outcomes = [episode.success for episode in episodes]
    successes, count = sum(outcomes), len(outcomes)
    return Rate(successes=successes, episodes=count, success=successes / count, wilson95=wilson95(successes, count))


def chains(episodes: Sequence[Episode], stages: int) -> Chains:
    """Count the tasks that `episodes` of `stages` tasks completed in a row; Student's interval of the mean is cut to
    the lengths that there are."""
    at_least = [sum(episode.completed >= n for episode in episodes) for n in range(1, stages + 1)]
    lengths = [episode.completed for episode in episodes]
    interval = mean95(lengths)
    return Chains(
        average_length=sum(lengths) / len(lengths),
        interval95=interval and (max(0.0, interval[0]), min(float(stages), interval[1])),
        at_least={
            str(n): Reached(success=count / len(episodes), wilson95=wilson95(count, len(episodes)))
            for n, count in enumerate(at_least, 1)
        },
    )


def _demonstrations(
    config: Resolved, data_root: Path, preprocessor: Preprocessor
) -> tuple[TrainingSet, list[EpisodeOfDataset]]:
    """`config.eval.open_loop.episodes` held-out episodes, the first ones of each dataset, and which they are; where
    nothing is held out, of those that were trained on."""
    datasets = [open_dataset(data_root / use.name) for use in config.datasets]
    part = 0 if config.split.without_validation else 1
    numbered = [parts(use, data, config.split)[part] for use, data in zip(config.datasets, datasets, strict=True)]
    counts = shares([len(numbers) for numbers in numbered], config.eval.open_loop.episodes)
    chosen = [numbers[:count] for numbers, count in zip(numbered, counts, strict=True)]
    episodes = [
        EpisodeOfDataset(dataset=use.name, episode=episode)
        for use, numbers in zip(config.datasets, chosen, strict=True)
        for episode in numbers
    ]
    return TrainingSet(datasets, preprocessor, chosen), episodes


def shares(sizes: Sequence[int], wanted: int) -> list[int]:
    """How many of each are taken, one of each in turn as long as it has any, until there are `wanted` or all."""
    turns = sorted((turn, place) for place, size in enumerate(sizes) for turn in range(size))[:wanted]
    return [sum(taken == place for _, taken in turns) for place in range(len(sizes))]


def rounded[Content: BaseModel](content: Content) -> Content:
    """`content` with every float to six decimals, as it is written."""
    return type(content).model_validate(_rounded(content.model_dump()))


def _rounded(content: Any) -> Any:
    """Floats to six decimals, in dicts and lists of any depth."""
    if isinstance(content, float):
        return round(content, 6)
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_rounded(value) for value in content]
    return content
