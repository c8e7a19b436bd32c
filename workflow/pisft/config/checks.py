"""Checks of an experiment's parts against each other. Each raises `ConfigError`, which names the file and the key."""

from __future__ import annotations

from pathlib import Path

from pisft.config.base import ConfigError, nearest
from pisft.config.dataset import GeneratedDataset
from pisft.config.evaluation import ClosedLoop
from pisft.config.experiment import Experiment
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.simulators import SimulatorConfig


def check_widths(path: Path, experiment: Experiment, fmt: FormatConfig, model: ModelConfig) -> None:
    """Check that the model's `action_dim` holds the format's state and actions."""
    for key in ("state", "actions"):
        width = fmt.pad_to or fmt.width(getattr(fmt, key))
        if width is not None and width > model.action_dim:
            raise ConfigError(
                f"{path}: format: {key} of '{experiment.format}' has {width} dims; action_dim of the model "
                f"'{experiment.model}' is {model.action_dim}: choose dims in the format"
            )


def check_train(path: Path, experiment: Experiment) -> None:
    """Check batch size, schedule, the chosen checkpoint and the profiled steps against each other."""
    train, cluster = experiment.train, experiment.cluster
    processes = cluster.num_nodes * cluster.gpus_per_node
    if train.global_batch_size % processes:
        raise ConfigError(
            f"{path}: train.global_batch_size: found {train.global_batch_size}; expected a multiple of the number of "
            f"processes, {processes} (cluster.num_nodes · cluster.gpus)"
        )
    if train.end_lr == 0 and train.steps > train.decay_steps:
        raise ConfigError(
            f"{path}: train.steps: found {train.steps}; the learning rate is 0 from decay_steps, {train.decay_steps}, "
            "on: raise end_lr or decay_steps (both change the schedule, so training starts from step 0)"
        )
    chosen = experiment.eval.checkpoint
    if chosen == "best" and experiment.split.without_validation:
        raise ConfigError(
            f"{path}: eval.checkpoint: found best, which is by the validation loss; split.heldout_fraction is 0, so "
            "there is none: expected last or a saved step, or a fraction above 0"
        )
    if (
        isinstance(chosen, int)
        and chosen != train.steps
        and (not train.keep_every or chosen % train.keep_every or chosen > train.steps)
    ):
        raise ConfigError(
            f"{path}: eval.checkpoint: found {chosen}; expected last, best or a saved step "
            f"(train.keep_every is {train.keep_every}, train.steps {train.steps})"
        )
    window = experiment.logging.profile_steps
    if window and not window[0] < window[1] <= train.steps:
        raise ConfigError(
            f"{path}: logging.profile_steps: found {list(window)}; expected [first, end] within train.steps"
        )


def check_generated(name: str, origin: GeneratedDataset, simulator: SimulatorConfig, root: Path) -> None:
    """Check that a generated dataset's tasks and seeds are its simulator's."""
    path = root / f"config/datasets/{name}.yaml"
    for task in origin.tasks:
        if task not in simulator.tasks:
            raise ConfigError(f"{path}: tasks: unknown task '{task}'; {nearest(task, list(simulator.tasks))}")
    check_seeds(path, "seeds", origin.seeds, simulator, 0, origin.episodes_per_task)


def check_closed_loop(
    path: Path, experiment: Experiment, loop: ClosedLoop, simulator: SimulatorConfig, fmt: FormatConfig
) -> None:
    """Check that suites, published rates, seeds and the format fit the simulator that evaluates."""
    key = "eval.closed_loop"
    for suite in loop.suites:
        if suite not in simulator.suites:
            raise ConfigError(
                f"{path}: {key}.suites: unknown suite '{suite}'; {nearest(suite, list(simulator.suites))}"
            )
    for reported in experiment.published.each() if experiment.published else ():
        for suite in reported.suites:
            if suite not in loop.suites:
                key = "suites" if reported is experiment.published else "others"
                raise ConfigError(f"{path}: published.{key}: '{suite}' is not evaluated; {nearest(suite, loop.suites)}")
    if experiment.published and experiment.published.average_length is not None and simulator.stages == 1:
        raise ConfigError(
            f"{path}: published.average_length: '{loop.simulator}' has no chains of tasks; expected suites or average"
        )
    if loop.replan_steps > fmt.action_horizon:
        raise ConfigError(
            f"{path}: {key}.replan_steps: found {loop.replan_steps}; "
            f"expected at most the format's action_horizon, {fmt.action_horizon}"
        )
    _check_fit(path, key, loop.simulator, simulator, fmt)
    check_seeds(path, f"{key}.seeds", loop.seeds, simulator, loop.seed, loop.episodes_per_task)


def _check_fit(path: Path, key: str, name: str, simulator: SimulatorConfig, fmt: FormatConfig) -> None:
    """Check that the simulator provides what the format observes and takes the actions that it produces."""
    features = simulator.features()
    for part in ("cameras", "state", "actions"):
        for feature in fmt.keys(part):
            if feature not in features or (part == "actions") != (feature in simulator.action_keys):
                raise ConfigError(
                    f"{path}: {key}.simulator: the format reads {part} from '{feature}', "
                    f"which is none of '{name}'; it has {', '.join(features)}"
                )
            wanted, has = fmt.features.get(feature), features[feature]
            if wanted and not has.is_image and wanted.shape != has.shape:
                raise ConfigError(
                    f"{path}: {key}.simulator: '{feature}' of the format has {wanted.shape[0]} dims, "
                    f"of '{name}' {has.shape[0]}; a policy of one cannot act in the other"
                )
    if fmt.keys("actions") != list(simulator.action_keys) or any(source.dims for source in fmt.actions):
        raise ConfigError(
            f"{path}: {key}.simulator: '{name}' takes all of {', '.join(simulator.action_keys)}, in this order; "
            f"the format learns {', '.join(fmt.keys('actions'))}"
        )


def check_seeds(path: Path, key: str, name: str, simulator: SimulatorConfig, offset: int, count: int) -> None:
    """Raise a `ConfigError` on `key` of `path` unless seed range `name` has `count` seeds from `offset` on."""
    if name not in simulator.seeds:
        raise ConfigError(f"{path}: {key}: unknown seed range '{name}'; {nearest(name, list(simulator.seeds))}")
    seeds = simulator.seeds[name]
    if seeds.first + offset + count - 1 > seeds.last:
        raise ConfigError(
            f"{path}: {key}: {count} episodes from seed {seeds.first + offset} on go past the end of "
            f"'{name}' ({seeds.first}-{seeds.last}) into seeds that serve another purpose"
        )
