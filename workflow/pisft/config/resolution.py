"""An experiment's files as one self-contained record. Start from `resolve`.

The result is the content of `results/<exp>/config.json`, the only configuration that stages read.
"""

from __future__ import annotations

from pathlib import Path

from pisft.config import checks, smoke
from pisft.config.base import ConfigError, find_named, parse, read_yaml
from pisft.config.dataset import GeneratedDataset
from pisft.config.experiment import Experiment, NormStatsConfig, Resolved
from pisft.config.extends import inherit
from pisft.config.files import experiment_path, load_dataset, load_model, load_simulator
from pisft.config.finetune import Lora
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.sweep import choose


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
            checks.check_generated(use.name, origin, simulators[origin.simulator], root)
    if loop := experiment.eval.closed_loop:
        simulator = load_simulator(loop.simulator, root, path, "eval.closed_loop.simulator")
        checks.check_closed_loop(path, experiment, loop, simulator, fmt)
        if smoke.is_smoke(name) and simulator.environment is not None:
            experiment = _open_loop_only(experiment)
        else:
            simulators[loop.simulator] = simulator

    checks.check_widths(path, experiment, fmt, model)
    content = experiment.model_dump(by_alias=True) | {
        "name": name,
        "model_name": experiment.model,
        "model": model.model_dump() | {"action_horizon": fmt.action_horizon},
        "format": fmt.model_dump(),
        "datasets": datasets,
        "simulators": {key: sim.model_dump() for key, sim in simulators.items()},
    }
    checks.check_train(path, experiment)
    return parse(content, Resolved, path)


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


def _open_loop_only(experiment: Experiment) -> Experiment:
    return experiment.model_copy(update={"eval": experiment.eval.model_copy(update={"closed_loop": None})})


def _from_dataset(stats: NormStatsConfig) -> NormStatsConfig:
    return stats.model_copy(update={"source": "dataset", "asset_id": None})
