"""`config/experiments/<exp>.yaml`, typed, and its resolution into one self-contained record.

Start from `resolve(name, root)`: it reads the experiment and every file that it names, fills in each default and
checks them against each other. The result is what `results/<exp>/config.json` holds and all that any stage reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from pisft.config.base import ConfigError, Strict, find_named, load_yaml, nearest, parse, read_yaml
from pisft.config.dataset import DatasetConfig, GeneratedDataset, HubDataset, LocalDataset
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.simulator import SimulatorConfig


class DatasetUse(Strict):
    """One dataset of an experiment; `episodes` such as `["0-49", "60"]` (both ends included), or all.

    `weight` counts per frame: with 2, an epoch shows each frame of this dataset twice.
    """

    name: str
    weight: PositiveFloat = 1.0
    episodes: list[str] | None = None

    @field_validator("episodes", mode="before")
    @classmethod
    def _as_ranges(cls, value):
        if value is None:
            return None
        items = [str(item) for item in (value if isinstance(value, list) else [value])]
        for item in items:
            first, _, last = item.partition("-")
            if not first.isdigit() or (last and not last.isdigit()) or int(last or first) < int(first):
                raise ValueError("expected episode numbers or ranges such as 0-49")
        return items

    def selected(self, total: int) -> list[int]:
        """Episode numbers out of `total`, ascending; one that does not exist is a `ConfigError`."""
        if self.episodes is None:
            return list(range(total))
        chosen: set[int] = set()
        for item in self.episodes:
            first, _, last = item.partition("-")
            chosen |= set(range(int(first), int(last or first) + 1))
        if chosen and max(chosen) >= total:
            raise ConfigError(
                f"datasets: {self.name}: episodes {', '.join(self.episodes)} selected, "
                f"but the dataset has {total} (0-{total - 1})"
            )
        return sorted(chosen)


class Split(Strict):
    """Episodes kept out of training and statistics, for validation; drawn with `seed`."""

    heldout_fraction: float = Field(0.02, ge=0.0, lt=1.0)
    seed: NonNegativeInt = 0


class NormStatsConfig(Strict):
    """`dataset`: computed from the training episodes. `min_std` and `min_range` widen nearly constant dims."""

    source: Literal["dataset"] = Field("dataset", alias="from")
    min_std: NonNegativeFloat = 0.0
    min_range: NonNegativeFloat = 0.0


class Full(Strict):
    """Every parameter that gets a gradient is trained."""

    method: Literal["full"] = "full"


class Train(Strict):
    """Optimisation; the defaults are openpi's."""

    steps: PositiveInt
    global_batch_size: PositiveInt = 32
    flow_samples_per_prefix: PositiveInt = Field(1, description="noise and time draws that share a prefix pass")
    peak_lr: PositiveFloat = 2.5e-5
    end_lr: NonNegativeFloat = 2.5e-6
    warmup_steps: NonNegativeInt = 1000
    decay_steps: PositiveInt = 30000
    weight_decay: NonNegativeFloat = 1e-10
    clip_grad_norm: PositiveFloat = 1.0
    ema: float | None = Field(0.99, gt=0.0, lt=1.0, description="decay of the averaged weights; null for none")
    precision: Literal["fp32", "bf16"] = "bf16"
    seed: NonNegativeInt = 0
    log_every: PositiveInt = 50
    validate_every: PositiveInt = 1000
    save_every: PositiveInt = 1000


class OpenLoop(Strict):
    """Flow loss and action error on this many held-out episodes (all, if there are fewer)."""

    episodes: PositiveInt = 50


class ClosedLoop(Strict):
    """Rollouts. The episodes of a task run on `episodes_per_task` seeds from the named range, from `seed` on."""

    simulator: str = Field(description="config/simulators/")
    suites: list[str] = Field(min_length=1)
    episodes_per_task: PositiveInt
    replan_steps: PositiveInt = Field(description="actions of a chunk that are executed before the next inference")
    batch_size: PositiveInt = Field(description="episodes that share each inference; part of the protocol")
    seeds: str = "testing"
    seed: NonNegativeInt = 0


class Eval(Strict):
    """What eval.json holds."""

    open_loop: OpenLoop = OpenLoop()
    closed_loop: ClosedLoop | None = None


class Logging(Strict):
    """Beside metrics.csv, which is always written."""

    tensorboard: bool = True
    wandb: Literal["off", "offline", "online"] = "off"

    @field_validator("wandb", mode="before")
    @classmethod
    def _yaml_off(cls, value):
        return "off" if value is False else value  # YAML 1.1 reads a bare `off` as false


class Cluster(Strict):
    """How, never what: no part of any key."""

    micro_batch_size: PositiveInt | None = Field(
        None, description="samples that go through the model at once; null for the whole batch"
    )


class Experiment(Strict):
    """One experiment as a person writes it."""

    recipe: str = Field("custom", description="the published recipe that this follows")
    model: str
    format: str
    datasets: list[DatasetUse] = Field(min_length=1)
    split: Split = Split()
    norm_stats: NormStatsConfig = NormStatsConfig()
    finetune: Full = Full()
    train: Train
    eval: Eval = Eval()
    logging: Logging = Logging()
    cluster: Cluster = Cluster()


class ResolvedDataset(DatasetUse):
    """A dataset with the content of its file."""

    origin: Annotated[HubDataset | LocalDataset | GeneratedDataset, Field(discriminator="source")]


class Resolved(Experiment):
    """An experiment in which every name has become what it stands for."""

    name: str
    model: ModelConfig
    format: FormatConfig
    datasets: list[ResolvedDataset]
    simulators: dict[str, SimulatorConfig]


def experiment_path(name: str, root: str | Path = ".") -> Path:
    """File of experiment `name`; an unknown one is a `ConfigError` with the nearest valid name."""
    return find_named(Path(root) / "config/experiments", name, source=f"results/{name}", key="experiment")


def load_dataset(name: str, root: str | Path = ".", source: str = "") -> DatasetConfig:
    """Read `config/datasets/<name>.yaml`; `source` says who asked, for the error."""
    path = find_named(Path(root) / "config/datasets", name, source or f"data/{name}", "datasets")
    # the file holds the origin itself; the type wraps it so that `source` can choose among the three
    content = load_yaml(path)
    return parse({"origin": content} if isinstance(content, dict) else content, DatasetConfig, path)


def load_simulator(name: str, root: str | Path, source: str | Path, key: str) -> SimulatorConfig:
    """Read `config/simulators/<name>.yaml`; `source` and `key` say who asked, for the error."""
    return read_yaml(find_named(Path(root) / "config/simulators", name, source, key), SimulatorConfig)


def resolve(name: str, root: str | Path = ".") -> Resolved:
    """The experiment `name` under `root/config`, resolved and checked; raises `ConfigError`."""
    root = Path(root)
    path = experiment_path(name, root)
    experiment = parse(_inherit(path), Experiment, path)

    model = read_yaml(find_named(root / "config/models", experiment.model, path, "model"), ModelConfig)
    fmt = read_yaml(find_named(root / "config/formats", experiment.format, path, "format"), FormatConfig)
    datasets, simulators = [], {}
    for use in experiment.datasets:
        origin = load_dataset(use.name, root, str(path)).origin
        datasets.append({**use.model_dump(), "origin": origin.model_dump()})
        if isinstance(origin, GeneratedDataset):
            simulators[origin.simulator] = load_simulator(origin.simulator, root, path, "datasets.simulator")
            _check_generated(use.name, origin, simulators[origin.simulator], root)
    if loop := experiment.eval.closed_loop:
        simulators[loop.simulator] = load_simulator(loop.simulator, root, path, "eval.closed_loop.simulator")
        _check_closed_loop(path, loop, simulators[loop.simulator], fmt)

    content = experiment.model_dump(by_alias=True) | {
        "name": name,
        "model": model.model_dump() | {"action_horizon": fmt.action_horizon},
        "format": fmt.model_dump(),
        "datasets": datasets,
        "simulators": {key: sim.model_dump() for key, sim in simulators.items()},
    }
    return parse(content, Resolved, path)


def read_resolved(path: str | Path) -> Resolved:
    """Read a `config.json` that `resolve` produced."""
    return read_yaml(path, Resolved)  # JSON is YAML


def _inherit(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in `path`, laid over that of the experiment which its `extends` names."""
    content = load_yaml(path)
    if not isinstance(content, dict) or "extends" not in content:
        return content
    content = dict(content)
    parent = find_named(path.parent, content.pop("extends"), path, "extends")
    if parent in (*seen, path):
        raise ConfigError(f"{path}: extends: goes round in a circle through {parent}")
    return _overlay(_inherit(parent, (*seen, path)), content)


def _overlay(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: _overlay(below.get(key), above[key]) if key in above else below[key] for key in below | above}
    return above


def _check_generated(name: str, origin: GeneratedDataset, simulator: SimulatorConfig, root: Path) -> None:
    path = root / f"config/datasets/{name}.yaml"
    for task in origin.tasks:
        if task not in simulator.tasks:
            raise ConfigError(f"{path}: tasks: unknown task '{task}'; {nearest(task, list(simulator.tasks))}")
    _check_seeds(path, "seeds", origin.seeds, simulator, 0, origin.episodes_per_task)


def _check_closed_loop(path: Path, loop: ClosedLoop, simulator: SimulatorConfig, fmt: FormatConfig) -> None:
    key = "eval.closed_loop"
    for suite in loop.suites:
        if suite not in simulator.suites:
            raise ConfigError(
                f"{path}: {key}.suites: unknown suite '{suite}'; {nearest(suite, list(simulator.suites))}"
            )
    if loop.replan_steps > fmt.action_horizon:
        raise ConfigError(
            f"{path}: {key}.replan_steps: found {loop.replan_steps}; "
            f"expected at most the format's action_horizon, {fmt.action_horizon}"
        )
    _check_seeds(path, f"{key}.seeds", loop.seeds, simulator, loop.seed, loop.episodes_per_task)


def _check_seeds(path: Path, key: str, name: str, simulator: SimulatorConfig, offset: int, count: int) -> None:
    if name not in simulator.seeds:
        raise ConfigError(f"{path}: {key}: unknown seed range '{name}'; {nearest(name, list(simulator.seeds))}")
    seeds = simulator.seeds[name]
    if seeds.first + offset + count - 1 > seeds.last:
        raise ConfigError(
            f"{path}: {key}: {count} episodes from seed {seeds.first + offset} on go past the end of "
            f"'{name}' ({seeds.first}-{seeds.last}) into seeds that serve another purpose"
        )
