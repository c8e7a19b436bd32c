"""`config/experiments/<exp>.yaml`, typed, and its resolution into one self-contained record.

Start from `resolve(name, root)`: it reads the experiment and every file that it names, fills in the defaults and checks
them against each other. The result is the content of `results/<exp>/config.json`, the only configuration that stages
read.
"""
# In `Resolved` what a name stands for takes its place; nothing takes it for an `Experiment`.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from pisft.config import smoke
from pisft.config.base import ConfigError, Strict, find_named, load_yaml, nearest, parse, read_yaml
from pisft.config.dataset import DatasetConfig, GeneratedDataset, Origin
from pisft.config.extends import inherit
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.simulator import AnySimulator, SimulatorConfig, SimulatorFile
from pisft.config.sweep import choose, members, sweep_of
from pisft.names import shown

NUMBER = re.compile(r"[0-9]{1,7}")  # in a range; longer ones would exhaust memory


def _numbers(text: str) -> list[int]:
    """Parse `0-3,7` as [0, 1, 2, 3, 7]: ascending and unique; raises `ValueError` for anything else."""
    numbers: set[int] = set()
    for item in filter(None, text.split(",")):
        first, _, last = item.strip().partition("-")
        if not NUMBER.fullmatch(first) or not NUMBER.fullmatch(last or first) or int(last or first) < int(first):
            raise ValueError(f"{shown(item)} is neither a number nor a range such as 0-49")
        numbers |= set(range(int(first), int(last or first) + 1))
    return sorted(numbers)


class DatasetUse(Strict):
    """One dataset of an experiment; `episodes` such as `["0-49", "60"]` (both ends included), or all.

    `weight` counts per frame: with 2, an epoch shows each frame of this dataset twice.
    """

    name: str
    weight: PositiveFloat = 1.0
    episodes: list[str] | None = None
    episodes_per_task: PositiveInt | None = Field(
        None, description="train on the first ones of each instruction only; the held-out episodes stay the same"
    )

    @field_validator("episodes", mode="before")
    @classmethod
    def _as_ranges(cls, value):
        if value is None:
            return None
        items = [str(item) for item in (value if isinstance(value, list) else [value])]
        _numbers(",".join(items))
        return items

    def selected(self, total: int) -> list[int]:
        """Return the selected episode numbers out of `total`, ascending; raises `ConfigError` if one does not exist."""
        if self.episodes is None:
            return list(range(total))
        chosen = _numbers(",".join(self.episodes))
        if chosen and chosen[-1] >= total:
            raise ConfigError(
                f"datasets: {self.name}: episodes {', '.join(self.episodes)} selected, "
                f"but the dataset has {total} (0-{total - 1})"
            )
        return chosen


class Split(Strict):
    """Episodes kept out of training and statistics, for validation; drawn with `seed`."""

    heldout_fraction: float = Field(
        default=0.02, ge=0.0, lt=1.0, description="of each dataset's episodes, rounded up; 0 trains without validation"
    )
    seed: NonNegativeInt = 0

    @property
    def without_validation(self) -> str | None:
        """A warning about its consequences if nothing is held out, else None."""
        if self.heldout_fraction:
            return None
        return (
            "split.heldout_fraction is 0: trained without validation; open-loop errors are of episodes that it was "
            "trained on"
        )


class NormStatsConfig(Strict):
    """`dataset`: computed from the training episodes. `min_std` and `min_range` widen nearly constant dims.

    `base`: those that the base weights were trained with.
    """

    source: Literal["dataset", "base"] = Field(default="dataset", alias="from")
    asset_id: str | None = Field(
        default=None,
        description="which of the base's statistics: the folder's name under its assets; null for the format's",
    )
    min_std: NonNegativeFloat = 0.0
    min_range: NonNegativeFloat = 0.0

    @field_validator("asset_id")
    @classmethod
    def _of_the_base(cls, value, info):
        if value is not None and info.data.get("source") != "base":
            raise ValueError("only the statistics of base weights have one: write from: base")
        return value


class Full(Strict):
    """Every parameter that gets a gradient is trained, but for the parts in `freeze`."""

    method: Literal["full"] = "full"
    freeze: list[Literal["vision", "vlm", "expert"]] = Field(
        default=[], description="vision: SigLIP; vlm: projector, embedding and Gemma; expert: the rest"
    )


class Lora(Strict):
    """Low-rank adapters by peft, after one of three published choices or on modules of your own.

    Regular expressions match whole names as in the checkpoint's file, without `.weight`.
    """

    method: Literal["lora"]
    targets: Literal["openpi", "rlinf", "lerobot"] | list[str] = Field(
        "openpi", description="modules that get an adapter, by preset or as regular expressions"
    )
    train: list[str] = Field([], description="modules besides the preset's that are trained in full")
    rank: PositiveInt | None = Field(None, description="null for the preset's own")
    alpha: PositiveFloat | None = Field(
        None, description="adapters are scaled by alpha / rank; null for the preset's own"
    )
    adapter: str | None = Field(None, description="a saved adapter folder to start from")

    @field_validator("targets", "train")
    @classmethod
    def _valid_patterns(cls, value):
        for pattern in value if isinstance(value, list) else []:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
        return value


class Train(Strict):
    """Optimisation; the defaults are openpi's."""

    steps: NonNegativeInt = Field(description="0 makes the base weights the checkpoint, as they are")
    global_batch_size: PositiveInt = 32
    flow_samples_per_prefix: PositiveInt = Field(1, description="noise and time draws that share a prefix pass")
    peak_lr: PositiveFloat = 2.5e-5
    end_lr: NonNegativeFloat = 2.5e-6
    warmup_steps: NonNegativeInt = 1000
    decay_steps: PositiveInt = 30000
    weight_decay: NonNegativeFloat = 1e-10
    clip_grad_norm: PositiveFloat = 1.0
    ema: float | None = Field(0.99, gt=0.0, lt=1.0, description="decay of the averaged weights; null for none")
    augment: bool = Field(False, description="openpi's crops, rotations and colours, drawn per sample")
    precision: Literal["fp32", "bf16"] = Field("bf16", description="of computing; trained weights are fp32 either way")
    deterministic: bool = Field(False, description="the same bits on every run on a GPU too; a CPU always gives them")
    seed: NonNegativeInt = 0
    threads: PositiveInt = Field(
        2,
        description="that compute on a CPU, of all processes of a machine, however many cores it has: how sums are "
        "split is part of the result",
    )
    log_every: PositiveInt = 50
    validate_every: PositiveInt = 1000
    save_every: PositiveInt = 1000
    keep_every: PositiveInt | None = Field(
        None, description="weights are saved every so many steps, in kept/step_<n>; null for none"
    )


class OpenLoop(Strict):
    """Flow loss and action error on this many held-out episodes (all, if there are fewer); with several
    datasets, taken from each in turn."""

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

    checkpoint: Literal["last", "best"] | PositiveInt = Field(
        default="last",
        description="the weights in the checkpoint: of the last step, of the least val_loss, or of a saved step",
    )
    open_loop: OpenLoop = OpenLoop()
    closed_loop: ClosedLoop | None = None


Rate = Annotated[float, Field(ge=0, le=1)]


class Published(Strict):
    """What others report for the same protocol, to be shown beside ours."""

    source: str = Field(description="where they are reported")
    episodes: PositiveInt | None = Field(default=None, description="of each suite; without it no interval is shown")
    suites: dict[str, Rate] = Field(default={}, description="suite → success rate")
    average: Rate | None = Field(default=None, description="the mean success over all suites")
    average_length: NonNegativeFloat | None = Field(default=None, description="of chains of tasks, as CALVIN counts")
    others: dict[str, dict[str, Rate]] | None = Field(
        default=None,
        description="what else is reported of the same: source → suite → success rate, of as many episodes",
    )

    def each(self) -> list[Published]:
        """Return one `Published` for each source, this one first."""
        others = (self.others or {}).items()
        return [self, *(Published(source=source, episodes=self.episodes, suites=rates) for source, rates in others)]


class Logging(Strict):
    """Beside metrics.csv, which is always written."""

    tensorboard: bool = True
    wandb: Literal["off", "offline", "online"] = "off"
    profile_steps: tuple[NonNegativeInt, PositiveInt] | None = Field(
        default=None, description="[first, end]: a trace of these steps, in trace/"
    )

    @field_validator("wandb", mode="before")
    @classmethod
    def _yaml_off(cls, value):
        return "off" if value is False else value  # YAML 1.1 reads a bare `off` as false


class Cluster(Strict):
    """How, never what: no part of any key."""

    num_nodes: PositiveInt = 1
    gpus: PositiveInt | str = Field(
        default=1, description="GPUs of each node: a count, or numbers such as 0-3 or 0,2; without a GPU, processes"
    )
    micro_batch_size: PositiveInt | None = Field(
        default=None, description="samples that go through the model at once on each process; null for all of its share"
    )
    workers: PositiveInt | None = Field(
        default=None,
        description="threads of each process that make batches; null for up to four, as far as there are cores",
    )
    frame_store: bool = Field(
        default=True,
        description="decode a dataset's images once, to disk; false: as they are needed, which takes cores",
    )
    activation_checkpointing: bool = Field(
        default=False, description="recompute each block in the backward pass: less memory, more time"
    )
    compile: bool = Field(default=False, description="torch.compile, block by block")

    @field_validator("gpus")
    @classmethod
    def _gpu_numbers(cls, value):
        if isinstance(value, str):
            _numbers(value)
        return value

    @property
    def gpus_per_node(self) -> int:
        """The number of processes on each node."""
        return self.gpus if isinstance(self.gpus, int) else len(_numbers(self.gpus))

    @property
    def visible_gpus(self) -> str | None:
        """The value for CUDA_VISIBLE_DEVICES if `gpus` names GPUs, else None."""
        return None if isinstance(self.gpus, int) else ",".join(map(str, _numbers(self.gpus)))


class Experiment(Strict):
    """One experiment as a person writes it."""

    recipe: str = Field("custom", description="the published recipe that this follows")
    model: str
    format: str
    datasets: list[DatasetUse] = Field(min_length=1)
    split: Split = Split()
    norm_stats: NormStatsConfig = NormStatsConfig()
    finetune: Annotated[Full | Lora, Field(discriminator="method")] = Full()
    train: Train
    eval: Eval = Eval()
    published: Published | None = None
    logging: Logging = Logging()
    cluster: Cluster = Cluster()

    @field_validator("datasets")
    @classmethod
    def _each_episode_once(cls, uses: list[DatasetUse]) -> list[DatasetUse]:
        """Reject an episode that is used twice, since it could be both trained on and held out."""
        seen: dict[str, set[int]] = {}
        for use in uses:
            chosen = set(_numbers(",".join(use.episodes or [])))  # empty: all episodes
            if use.name in seen and (not chosen or not seen[use.name] or chosen & seen[use.name]):
                raise ValueError(f"{use.name} is named twice with the same episodes; give each its own `episodes`")
            seen[use.name] = chosen | seen.get(use.name, set())
        return uses


class ResolvedDataset(DatasetUse):
    """A dataset with the content of its file."""

    origin: Origin


class Resolved(Experiment):
    """An experiment in which every name has become what it stands for."""

    name: str
    model_name: str
    model: ModelConfig
    format: FormatConfig
    datasets: list[ResolvedDataset]
    simulators: dict[str, AnySimulator]


def experiment_path(name: str, root: str | Path = ".") -> Path:
    """Return the file of experiment `name`; raises `ConfigError` with the nearest valid name if it is unknown."""
    folder = Path(root) / "config/experiments"
    return find_named(folder, sweep_of(name), source=f"results/{name}", key="experiment")


def sweep_members(sweep: str, root: str | Path = ".") -> dict[str, dict[str, Any]]:
    """Return the experiments of a sweep, each with its values; those of `<sweep>~smoke` are tiny.

    Raises `ConfigError`.
    """
    name = smoke.original(sweep)
    path = find_named(Path(root) / "config/experiments", name, source=f"results/sweeps/{sweep}", key="sweep")
    found = members(name, inherit(path), path)
    if not found:
        raise ConfigError(f"{path}: sweep: is missing; ask for results/{sweep}/eval.json")
    return {member + smoke.SUFFIX * smoke.is_smoke(sweep): values for member, values in found.items()}


def load_dataset(name: str, root: str | Path = ".", source: str = "") -> DatasetConfig:
    """Read `config/datasets/<name>.yaml`; `source` says who asked, for the error.

    `<format>~smoke` is a generated dataset with the format's features.
    """
    source = source or f"data/{name}"
    if smoke.is_smoke(name):
        path = find_named(Path(root) / "config/formats", smoke.original(name), source, "datasets")
        return DatasetConfig(origin=smoke.dataset(read_yaml(path, FormatConfig), str(path)))
    path = find_named(Path(root) / "config/datasets", name, source, "datasets")
    return parse(_wrapped(load_yaml(path)), DatasetConfig, path)


def load_simulator(name: str, root: str | Path, source: str | Path, key: str) -> SimulatorConfig:
    """Read `config/simulators/<name>.yaml`; `source` and `key` say who asked, for the error."""
    path = find_named(Path(root) / "config/simulators", smoke.original(name), source, key)
    content = load_yaml(path)
    whole = parse(_wrapped(content), SimulatorFile, path)
    return (
        parse(_wrapped(smoke.shrink_simulator(content)), SimulatorFile, path) if smoke.is_smoke(name) else whole
    ).origin


def _open_loop_only(experiment: Experiment) -> Experiment:
    return experiment.model_copy(update={"eval": experiment.eval.model_copy(update={"closed_loop": None})})


def _wrapped(content: Any) -> Any:
    """Wrap the file's mapping as {origin: …}, the field that holds the discriminated union."""
    return {"origin": content} if isinstance(content, dict) else content


def load_model(name: str, root: str | Path = ".", source: str | Path = "") -> ModelConfig:
    """Read `config/models/<name>.yaml`; `source` says who asked, for the error."""
    path = find_named(Path(root) / "config/models", smoke.original(name), source or f"data/base/{name}", "model")
    whole = parse(inherit(path), ModelConfig, path)
    return parse(smoke.shrink_model(inherit(path)), ModelConfig, path) if smoke.is_smoke(name) else whole


def resolve(name: str, root: str | Path = ".", children: tuple[str, ...] = ()) -> Resolved:
    """Return the experiment `name` under `root/config`, resolved and checked; raises `ConfigError`.

    `children` are the experiments whose base weights come from this one. `<exp>~smoke` is the experiment `<exp>`, made
    tiny, and `<sweep>~peak_lr=0.001~seed=0` one of the experiments of a sweep.
    """
    root = Path(root)
    path = experiment_path(name, root)
    content = choose(smoke.original(name), inherit(path), path)
    experiment = parse(content, Experiment, path)
    if smoke.is_smoke(name):
        resolve(smoke.original(name), root, tuple(map(smoke.original, children)))
        experiment = parse(smoke.shrink(content), Experiment, path)

    model = load_model(experiment.model, root, path)
    if smoke.is_smoke(name) and model.base == "scratch":
        # a smoke model has random weights in place of published ones, and those have no statistics
        experiment = experiment.model_copy(update={"norm_stats": _from_dataset(experiment.norm_stats)})
    _check_base(path, experiment, model, root, (*children, name))
    fmt = read_yaml(find_named(root / "config/formats", experiment.format, path, "format"), FormatConfig)
    datasets, simulators = [], {}
    for use in experiment.datasets:
        origin = load_dataset(use.name, root, str(path)).origin
        datasets.append({**use.model_dump(), "origin": origin.model_dump()})
        if isinstance(origin, GeneratedDataset):
            simulators[origin.simulator] = load_simulator(origin.simulator, root, path, "datasets.simulator")
            _check_generated(use.name, origin, simulators[origin.simulator], root)
    if loop := experiment.eval.closed_loop:
        simulator = load_simulator(loop.simulator, root, path, "eval.closed_loop.simulator")
        _check_closed_loop(path, experiment, loop, simulator, fmt)
        if smoke.is_smoke(name) and simulator.environment is not None:
            experiment = _open_loop_only(experiment)
        else:
            simulators[loop.simulator] = simulator

    _check_widths(path, experiment, fmt, model)
    content = experiment.model_dump(by_alias=True) | {
        "name": name,
        "model_name": experiment.model,
        "model": model.model_dump() | {"action_horizon": fmt.action_horizon},
        "format": fmt.model_dump(),
        "datasets": datasets,
        "simulators": {key: sim.model_dump() for key, sim in simulators.items()},
    }
    _check_train(path, experiment)
    return parse(content, Resolved, path)


def read_resolved(path: str | Path) -> Resolved:
    """Read a `config.json` that `resolve` produced."""
    return read_yaml(path, Resolved)  # JSON is YAML


def _from_dataset(stats: NormStatsConfig) -> NormStatsConfig:
    return stats.model_copy(update={"source": "dataset", "asset_id": None})


def _check_base(path: Path, experiment: Experiment, model: ModelConfig, root: Path, line: tuple[str, ...]) -> None:
    """Check the base weights; `line` is this experiment and those that build on it."""
    if model.base == "scratch":
        if isinstance(experiment.finetune, Lora) and not smoke.is_smoke(experiment.model):
            raise ConfigError(
                f"{path}: finetune.method: found lora; the model '{experiment.model}' has no base weights"
            )
        if experiment.norm_stats.source == "base":
            raise ConfigError(
                f"{path}: norm_stats.from: found base; the model '{experiment.model}' has no base weights"
            )
        return
    if (base := model.base.experiment) is None:
        return
    if experiment.norm_stats.asset_id is not None:
        raise ConfigError(
            f"{path}: norm_stats.asset_id: found {experiment.norm_stats.asset_id}; the base experiment {base} has one "
            "norm_stats.json: leave it out"
        )
    if base in line:
        raise ConfigError(f"{path}: model: base.experiment: is circular, through {base}")
    other = resolve(base, root, line).model
    for key in ModelConfig.model_fields.keys() - {"action_horizon", "max_token_len", "base"}:
        if getattr(model, key) != getattr(other, key):
            raise ConfigError(
                f"{path}: model: {key} is {getattr(model, key)}; its base experiment {base} has {getattr(other, key)}"
            )


def _check_widths(path: Path, experiment: Experiment, fmt: FormatConfig, model: ModelConfig) -> None:
    for key in ("state", "actions"):
        width = fmt.pad_to or fmt.width(getattr(fmt, key))
        if width is not None and width > model.action_dim:
            raise ConfigError(
                f"{path}: format: {key} of '{experiment.format}' has {width} dims; action_dim of the model "
                f"'{experiment.model}' is {model.action_dim}: choose dims in the format"
            )


def _check_train(path: Path, experiment: Experiment) -> None:
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


def _check_generated(name: str, origin: GeneratedDataset, simulator: SimulatorConfig, root: Path) -> None:
    path = root / f"config/datasets/{name}.yaml"
    for task in origin.tasks:
        if task not in simulator.tasks:
            raise ConfigError(f"{path}: tasks: unknown task '{task}'; {nearest(task, list(simulator.tasks))}")
    check_seeds(path, "seeds", origin.seeds, simulator, 0, origin.episodes_per_task)


def _check_closed_loop(
    path: Path, experiment: Experiment, loop: ClosedLoop, simulator: SimulatorConfig, fmt: FormatConfig
) -> None:
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
