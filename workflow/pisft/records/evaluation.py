"""eval.json, as a type. Start from `Evaluation.read_from(run_dir)`."""

from __future__ import annotations

from typing import Any, ClassVar

from pisft.records.base import MadeFrom, Part, Versioned

Interval = tuple[float, float]


class Rate(Part):
    """Successes of episodes, their ratio and Wilson's 95 % interval of it."""

    successes: int
    episodes: int
    success: float
    wilson95: Interval


class Reached(Part):
    """The share of chains that got this far."""

    success: float
    wilson95: Interval


class Chains(Part):
    """Tasks completed in a row, as CALVIN counts: the mean with Student's interval (None for a single chain), and the
    share of chains that completed 1, 2, …"""

    average_length: float
    interval95: Interval | None
    at_least: dict[str, Reached]


class Seeds(Part):
    """The simulator's range that the seeds are of; the first and the last seed of each task."""

    range: str
    first: int
    last: int


class Protocol(Part):
    """All that an episode depends on besides the policy. `settings` are those that the simulator alone has."""

    simulator: str
    suites: dict[str, list[str]]
    tasks: dict[str, str]
    packages: dict[str, str]
    max_steps: int | dict[str, int]
    replan_steps: int
    batch_size: int
    episodes_per_task: int
    seeds: Seeds
    settings: dict[str, Any]
    sampling_steps: int


class EpisodeOutcome(Part):
    """One rollout; `video` is relative to the run folder."""

    task: str
    seed: int
    success: bool
    steps: int
    video: str | None


class ClosedLoop(Part):
    """Rollouts in a simulator."""

    protocol: Protocol
    tasks: dict[str, Rate]
    suites: dict[str, Rate]
    overall: Rate
    chains: Chains | None = None
    episodes: list[EpisodeOutcome]


class EpisodeOfDataset(Part):
    """An episode of a dataset, by its number there."""

    dataset: str
    episode: int


class ByDim(Part):
    """The mean over all dims, and of each."""

    mean: float
    per_dim: dict[str, float]


class Errors(ByDim):
    """Mean absolute errors, also by step of the chunk and by instruction."""

    per_step: list[float]
    per_task: dict[str, float]


class ActionError(Part):
    """In robot units, and normalised as the model sees actions."""

    robot: Errors
    normalised: Errors


class OpenLoop(Part):
    """Predictions for demonstrations. `held_out` is False where nothing was held out, and the episodes are of those
    that were trained on. `action_spread` is the standard deviation of several sampled chunks, in robot units."""

    held_out: bool
    episodes: list[EpisodeOfDataset]
    frames: int
    flow_loss: float
    action_error: ActionError
    action_spread: ByDim


class EvaluatedCheckpoint(Part):
    """The training step, and the sha256 of model.safetensors."""

    step: int
    sha256: str


class Evaluation(Versioned):
    """What an evaluation came to: the same bytes when it is run again."""

    kind: ClassVar[str] = "evaluation"
    name_of_file: ClassVar[str] = "eval.json"

    experiment: str
    checkpoint: EvaluatedCheckpoint
    open_loop: OpenLoop
    closed_loop: ClosedLoop | None
    provenance: MadeFrom | None = None

    @property
    def loss_name(self) -> str:
        """What the flow loss is called, by the episodes that it is of."""
        return loss_name(self.open_loop.held_out)


def loss_name(held_out: bool = True) -> str:
    """What a flow loss on episodes that are `held_out`, or not, is called."""
    return "held-out flow loss" if held_out else "flow loss on training episodes"
