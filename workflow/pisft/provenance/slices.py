"""Which part of a resolved experiment each stage's result depends on, and nothing else.

A value that is missing here can change without a rerun; one too many reruns what need not be. `cluster`, `logging`
and how often a run is logged, validated and saved are in no slice: they are how, not what.
"""

from __future__ import annotations

from typing import Any

from pisft.config.dataset import GeneratedDataset, LocalDataset
from pisft.config.experiment import Resolved
from pisft.config.model import BaseWeights, ModelConfig
from pisft.config.paper import Paper
from pisft.config.simulator import SimulatorConfig

FORMAT = {"state", "actions", "delta_mask", "adapt_to_pi", "pad_to", "action_horizon", "normalisation", "features"}
HOW = {"log_every", "validate_every", "save_every", "keep_every"}


def dataset(origin, simulator: SimulatorConfig | None) -> dict[str, Any]:
    """Of one dataset; a local folder is pinned by what it holds, not by where it lies."""
    if isinstance(origin, LocalDataset):
        return {"source": "local"}
    content = {"origin": origin.model_dump(mode="json")}
    if isinstance(origin, GeneratedDataset):
        content["simulator"] = _simulator(simulator, origin.tasks, origin.seeds)
    return content


def frames(view: str) -> dict[str, Any]:
    """Of a frame store: its camera and size, `<camera>.<pixels>`."""
    camera, _, size = view.rpartition(".")
    return {"camera": camera, "size": int(size)}


def inspection(dataset: str) -> dict[str, Any]:
    """Of a page about a dataset, which it names."""
    return {"dataset": dataset}


def norm_stats(exp: Resolved) -> dict[str, Any]:
    """The vectors, the chunks and the episodes that the statistics are taken over."""
    content = {
        "format": exp.format.model_dump(mode="json", include=FORMAT),
        "datasets": _datasets(exp),
        "split": exp.split.model_dump(mode="json"),
        "norm_stats": exp.norm_stats.model_dump(mode="json", by_alias=True),
    }
    if exp.norm_stats.source == "base":
        repos = [getattr(use.origin, "repo", None) for use in exp.datasets]
        content |= {"base": _model(exp.model)["base"], "looked_up": [exp.format.asset_id, *repos]}
    return content


def base(model: ModelConfig) -> dict[str, Any]:
    """Of converted base weights: the model they are for; the folder is pinned by what it holds."""
    return {"model": _model(model)}


def checkpoint(exp: Resolved) -> dict[str, Any]:
    """All that the weights depend on; the best ones, on when they were looked at too."""
    best = exp.eval.checkpoint == "best"
    return {
        "model": _model(exp.model),
        "format": exp.format.model_dump(mode="json"),
        "datasets": _datasets(exp),
        "split": exp.split.model_dump(mode="json"),
        "finetune": exp.finetune.model_dump(mode="json"),
        "train": exp.train.model_dump(mode="json", exclude=HOW - ({"validate_every"} if best else set())),
        "chosen": exp.eval.checkpoint,
    }


def evaluation(exp: Resolved) -> dict[str, Any]:
    """The protocol."""
    content = {"eval": exp.eval.model_dump(mode="json", exclude={"checkpoint"})}
    if loop := exp.eval.closed_loop:
        simulator = exp.simulators[loop.simulator]
        tasks = sorted({task for suite in loop.suites for task in simulator.suites[suite]})
        content["simulator"] = _simulator(simulator, tasks, loop.seeds)
        content["suites"] = {suite: simulator.suites[suite] for suite in loop.suites}
    return content


def export_lerobot(exp: Resolved) -> dict[str, Any]:
    """What lerobot is told besides what the checkpoint holds."""
    loop = exp.eval.closed_loop
    return {"replan_steps": loop.replan_steps if loop else None}


def export_openpi(exp: Resolved) -> dict[str, Any]:
    """What the statistics are looked up under."""
    datasets = [{"name": use.name, "repo": getattr(use.origin, "repo", None)} for use in exp.datasets]
    return {"datasets": datasets, "asset_id": exp.format.asset_id}


def paper(paper: Paper, experiments: list[Resolved]) -> dict[str, Any]:
    """Of a paper's table: what it calls its experiments, and what was published of them."""
    published = {exp.name: exp.model_dump(mode="json", include={"published"})["published"] for exp in experiments}
    return {"paper": paper.model_dump(mode="json"), "published": published}


def sweep(members: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of a sweep's table: its experiments, and the values that each has."""
    return {"members": members}


def report(exp: Resolved) -> dict[str, Any]:
    """Everything that the page shows."""
    return exp.model_dump(mode="json", by_alias=True, exclude={"cluster", "logging"})


def config(exp: Resolved) -> dict[str, Any]:
    """The whole."""
    return exp.model_dump(mode="json", by_alias=True)


def _model(model: ModelConfig) -> dict[str, Any]:
    """Base weights in files are pinned by what they hold, and those of an experiment by its key."""
    content = model.model_dump(mode="json")
    if isinstance(model.base, BaseWeights):
        content["base"] = model.base.model_dump(mode="json", include={"repo", "revision"}, exclude_none=True)
    return content


def _datasets(exp: Resolved) -> list[dict[str, Any]]:
    uses = [use.model_dump(mode="json", include={"weight", "episodes", "episodes_per_task"}) for use in exp.datasets]
    return [{key: value for key, value in use.items() if key != "episodes_per_task" or value} for use in uses]


def _simulator(simulator: SimulatorConfig, tasks: list[str], seeds: str) -> dict[str, Any]:
    content = simulator.model_dump(mode="json", exclude={"suites", "tasks", "seeds", "max_steps", "timeout_s"})
    content["max_steps"] = {task: simulator.cap(task) for task in tasks}
    content["tasks"] = {task: simulator.tasks[task] for task in tasks}
    content["seeds"] = simulator.seeds[seeds].model_dump(mode="json")
    return content
