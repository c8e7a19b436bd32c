"""The stage that evaluates a checkpoint."""

from __future__ import annotations

from typing import Any, override

from pisft.config.experiment import Resolved
from pisft.config.simulators import SimulatorConfig
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage, datasets, simulator_slice


def _rolled_out(exp: Resolved) -> bool:
    return exp.eval.closed_loop is not None


class Evaluate(ExperimentStage):
    """Evaluates open-loop on held-out episodes, and closed-loop in a simulator."""

    name = "evaluate"
    outputs = (
        Output("results/{name}/eval.json", "held-out loss, action error, success per task", dvc="metric"),
        Output("results/{name}/traces.json", "recorded and predicted actions of held-out episodes"),
        Output(
            "results/{name}/rollouts.safetensors",
            "the actions that each episode executed, so that any can be filmed later",
            when=_rolled_out,
        ),
        Output("results/{name}/videos", "filmed episodes", when=_rolled_out),
    )
    hashes_in_target = True

    @override
    def parents(self, subject: Resolved) -> list[Node]:
        return [*datasets(subject), Node("train", subject.name)]

    @override
    def slice(self, subject: Resolved) -> dict[str, Any]:
        content: dict[str, Any] = {"eval": subject.eval.model_dump(mode="json", exclude={"checkpoint"})}
        if loop := subject.eval.closed_loop:
            simulator = subject.simulators[loop.simulator]
            tasks = sorted({task for suite in loop.suites for task in simulator.suites[suite]})
            content["simulator"] = simulator_slice(simulator, tasks, loop.seeds)
            content["suites"] = {suite: simulator.suites[suite] for suite in loop.suites}
        return content

    @override
    def simulator(self, subject: Resolved) -> SimulatorConfig | None:
        loop = subject.eval.closed_loop
        return subject.simulators[loop.simulator] if loop else None
