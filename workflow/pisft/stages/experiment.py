"""What the stages of one experiment share. Start from `ExperimentStage`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, override

from pisft.config import read_resolved, resolve
from pisft.config.experiment import Resolved
from pisft.config.model import BaseWeights, ModelConfig
from pisft.config.simulators import SimulatorConfig
from pisft.stages.base import Node, Stage


class ExperimentStage(Stage[Resolved]):
    """A stage that is built from results/<exp>/config.json and the other artefacts of its experiment."""

    read = staticmethod(resolve)
    of_experiment = True

    def __init_subclass__(cls) -> None:
        cls.record = f"results/{{name}}/provenance/{cls.name}.json"

    @override
    def built_from(self, name: str, root: Path) -> Resolved:
        return read_resolved(root / Node("resolve", name).target)

    @override
    def configuration(self, name: str) -> list[Node]:
        return [Node("resolve", name)]


def datasets(exp: Resolved) -> list[Node]:
    """The datasets of `exp`."""
    return [Node("make_dataset", use.name) for use in exp.datasets]


def base_weights(exp: Resolved) -> list[Node]:
    """The artefact that the base weights of `exp` are: another experiment's checkpoint, or converted ones."""
    base = exp.model.base
    if not isinstance(base, BaseWeights):
        return []
    if base.experiment is not None:
        return [Node("train", base.experiment)]
    return [Node("convert", exp.model_name)] if base.orbax is not None else []


def model_slice(model: ModelConfig) -> dict[str, Any]:
    """Of a model. Base weights in files are pinned by what they hold, and those of an experiment by its key."""
    content = model.model_dump(mode="json")
    if isinstance(model.base, BaseWeights):
        content["base"] = model.base.model_dump(mode="json", include={"repo", "revision"}, exclude_none=True)
    return content


def datasets_slice(exp: Resolved) -> list[dict[str, Any]]:
    """Of the datasets of `exp`: which episodes are taken, and how often."""
    uses = [use.model_dump(mode="json", include={"weight", "episodes", "episodes_per_task"}) for use in exp.datasets]
    return [{key: value for key, value in use.items() if key != "episodes_per_task" or value} for use in uses]


def simulator_slice(simulator: SimulatorConfig, tasks: list[str], seeds: str) -> dict[str, Any]:
    """Of a simulator, what episodes of `tasks` with the seeds of that range depend on."""
    content = simulator.model_dump(mode="json", exclude={"suites", "tasks", "seeds", "max_steps", "timeout_s"})
    content["max_steps"] = {task: simulator.cap(task) for task in tasks}
    content["tasks"] = {task: simulator.tasks[task] for task in tasks}
    content["seeds"] = simulator.seeds[seeds].model_dump(mode="json")
    return content
