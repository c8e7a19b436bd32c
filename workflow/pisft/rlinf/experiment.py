"""Translates an RLinf configuration of supervised fine-tuning to an experiment, and reports what became of each key.

Start from `translate(path, name, root)`; `check` tells whether its result resolves. Every key that is read here is in
vocabulary.py; every other key in the file is reported with the reason given there.
"""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, overload

import yaml

from pisft.canonical import write_text
from pisft.config.base import ConfigError, find_named, load_yaml, nearest, parse, read_yaml
from pisft.config.experiment import Experiment
from pisft.config.extends import inherit
from pisft.config.files import load_model
from pisft.config.format import FormatConfig
from pisft.config.resolution import resolve
from pisft.names import one_line, shown, why_no_name
from pisft.rlinf.hydra import compose, unresolved
from pisft.rlinf.vocabulary import VOCABULARY, WORDS, How

MODEL_TYPES = ["openpi", "openpi_rlinf", "openpi_pytorch"]
SCHEDULES = ["constant", "cosine", "openpi_cosine", "torch_constant", "torch_cosine"]
TORCH_COSINE_END = 1e-6  # in RLinf, whatever min_lr says
WEIGHT_DECAY = 0.01  # RLinf's default
LORA_RANK = 32  # of the preset and of RLinf's templates
# Settings that RLinf leaves open and that are fixed here in every experiment.
FIXED = {
    "actor.optim.adam_beta1": 0.9,
    "actor.optim.adam_beta2": 0.95,
    "actor.optim.adam_eps": 1e-8,
    "actor.optim.num_cycles": 0.5,
    "actor.model.openpi.paligemma_variant": "gemma_2b",
    "actor.model.openpi.action_expert_variant": "gemma_300m",
}
HUB = re.compile(r"((?!\.)[\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
PLACEHOLDER = re.compile(r"/path/to/|<.*>")


Fate = How | Literal["missing", "assumed", "unknown"]


class Line(NamedTuple):
    """What became of one key; `missing`: a file does not exist; `assumed`: no key says it."""

    how: Fate
    text: str

    def __str__(self) -> str:
        return one_line(f"{self.how:<10}  {self.text}")


class Import(NamedTuple):
    """The files of the experiment, by their path under the project's root, and the report."""

    name: str
    files: dict[Path, str]
    lines: list[Line]


def translate(path: str | Path, name: str, root: str | Path = ".", overrides: Iterable[str] = ()) -> Import:
    """Translate the RLinf configuration in `path` to the experiment `name` of the project in `root`; writes nothing.

    `overrides` are Hydra's `key=value`, as RLinf's launch scripts take them. Raises `ConfigError` if something that an
    experiment needs is missing (data, format, batch, length, learning rate), or if it does not fine-tune a π₀.
    """
    if not Path(path).name.isprintable():
        raise ConfigError(f"{shown(str(path))}: cannot be printed, and what is written names it; rename the file")
    if reason := why_no_name(name):
        raise ConfigError(f"{path}: found the name {shown(name)}; {reason}: give --name")
    content, missing = compose(path, overrides)
    return _Translation(Path(path), content, name, Path(root)).run(missing)


def check(result: Import, root: str | Path = ".") -> None:
    """Resolve the experiment in a temporary copy of config/; raises `ConfigError` if it does not resolve."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path(root, "config"), Path(folder, "config"))
        for path, text in result.files.items():
            write_text(Path(folder, path), text)
        try:
            resolve(result.name, folder)
        except ConfigError as error:
            raise ConfigError(f"nothing is written: {error}".replace(f"{folder}/", "")) from None


class _Translation:
    """A translation in progress: RLinf's `content`, `ours` by section, `files`, `lines` and YAML `comments`."""

    def __init__(self, path: Path, content: dict[str, Any], name: str, root: Path):
        self.path, self.content, self.name, self.root = path, content, name, root
        self.ours: dict[str, Any] = {}
        self.comments: dict[str, str] = {}
        self.files: dict[Path, str] = {}
        self.lines: list[Line] = []
        self.said: set[str] = set()

    def run(self, missing: list[str]) -> Import:
        self.lines += [Line("missing", sentence) for sentence in missing]
        self._kind()
        self._set("recipe", f"RLinf {self.path.stem}")
        format = self._format()
        self._set("model", self._model())
        self._set("format", self.format)
        self._set("datasets", self._datasets())
        self._finetune(bool(missing))
        self._steps()
        self._carried()
        self._schedule()
        self._set("train.ema", None, "RLinf keeps no average of the weights", "RLinf keeps none")
        self._precision()
        self._positive()
        self._logging()
        self._gpus()
        self._batch()
        self._fixed(format)
        self._rest()
        self.files[Path(f"config/experiments/{self.name}.yaml")] = self._experiment()
        return Import(self.name, self.files, self.lines)

    def _get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, `default` if it is absent or null; raises `ConfigError` if it is not resolved."""
        assert key in WORDS, f"{key} is not in the vocabulary"
        value = self._raw(key)
        if unresolved(value):
            raise self._error(key, f"{value} is not resolved: set the variable in the environment")
        return default if value is None else value

    def _raw(self, key: str) -> Any:
        value: Any = self.content
        for part in key.removesuffix(".*").split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    @overload
    def _number(self, key: str) -> float | None: ...
    @overload
    def _number(self, key: str, default: float) -> float: ...
    def _number(self, key: str, default: float | None = None) -> float | None:
        value = self._get(key, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise self._error(key, f"found {value!r}; expected a number")
        return value

    def _count(self, key: str) -> int:
        value = self._number(key, 1)
        if value < 1 or value != int(value):
            raise self._error(key, f"found {value!r}; expected a whole number, 1 or more")
        return int(value)

    def _flag(self, key: str) -> bool:
        value = self._get(key, False)
        if not isinstance(value, bool):
            raise self._error(key, f"found {value!r}; expected true or false")
        return value

    def _error(self, key: str, reason: str) -> ConfigError:
        return ConfigError(f"{self.path}: {key}: {reason}; or give {key}=<value> after the file")

    def _set(self, key: str, value: Any, comment: str = "", assumed: str = "") -> None:
        """Set our `key`; `comment` is for the YAML, `assumed` the reason if no RLinf key says it."""
        section, _, field = key.partition(".")
        if field:
            self.ours.setdefault(section, {})[field] = value
        else:
            self.ours[section] = value
        if comment:
            self.comments[key] = comment
        if assumed:
            self.lines.append(Line("assumed", f"{key}: {_yaml(value)} ({assumed})"))

    def _say(self, how: Fate, key: str, value: Any, ours: str = "", remark: str = "") -> None:
        """Add a line on RLinf's `key`, which marks it as accounted for."""
        self.said.add(key)
        text = f"{key}: {_yaml(value)}" + (f" → {ours}" if ours else "") + (f" ({remark})" if remark else "")
        self.lines.append(Line(how, text))

    def _say_unread(self, keys: Iterable[str], reason: str) -> None:
        for key in keys:
            if (value := self._get(key)) is not None:
                self._say("left out", key, value, remark=reason)

    def _kind(self) -> None:
        key = "runner.task_type"
        if (kind := str(self._get(key, "sft"))).lower() != "sft":
            raise ConfigError(
                f"{self.path}: {key}: found {kind}; expected sft: there is no reinforcement learning here"
            )
        self._say("checked", key, kind)
        key = "actor.model.model_type"
        if (kind := self._get(key, MODEL_TYPES[0])) not in MODEL_TYPES:
            raise ConfigError(
                f"{self.path}: {key}: found {kind}; expected a π₀ or π₀.₅; {nearest(str(kind), MODEL_TYPES)}"
            )
        if self._get(key):
            self._say("checked", key, kind)

    def _format(self) -> FormatConfig:
        key = "actor.model.openpi.config_name"
        name = self._get(key)
        if not isinstance(name, str):
            raise self._error(key, f"found {name!r}; expected the name of a format")
        path = find_named(self.root / "config/formats", name, self.path, key)
        self._say("translated", key, name, "format")
        self.format = name
        return read_yaml(path, FormatConfig)

    def _model(self) -> str:
        pi05 = self.format.startswith("pi05")
        if self._get("actor.model.pi05") is not None:
            pi05 = self._flag("actor.model.pi05")
            self._say("translated", "actor.model.pi05", pi05, "model")
        parent = "pi05_base" if pi05 else "pi0_base"
        base = load_model(parent, self.root, self.path)
        content: dict[str, Any] = {"extends": parent}
        for theirs, ours in (("max_token_len", "max_token_len"), ("model_action_dim", "action_dim")):
            key = f"actor.model.openpi.{theirs}"
            if (value := self._number(key)) is not None:
                self._say("translated", key, value, f"model: {ours}")
                content |= {ours: value} if value != getattr(base, ours) else {}
        key = "actor.model.model_path"
        where = self._get(key)
        if where is None or PLACEHOLDER.search(str(where)):
            remark = "a placeholder: openpi's base weights"
        else:
            remark = "with openpi's names in it, not in RLinf's own layout"
            content["base"] = self._hub(key, str(where)) or {"path": str(where)}
        chosen = self._file("models", self.name, content) if len(content) > 1 else parent
        self._say("translated", key, where, f"model: {chosen}", remark)
        return chosen

    def _datasets(self) -> list[dict[str, Any]]:
        keys = ["data.train_data_paths", "data.data_paths", "data.data_path"]
        key = next((key for key in keys if self._get(key) is not None), keys[0])
        value = self._get(key)
        entries = value if isinstance(value, list) and value else [value]
        uses = []
        for number, entry in enumerate(entries, 1):
            weight = 1.0
            if isinstance(entry, dict):
                weight = entry.get("weight", weight)
                entry = entry.get("dataset_path") or entry.get("data_path") or entry.get("path")
            if entry is None or PLACEHOLDER.search(str(entry)):
                found, remark = self._usual_datasets(key), f"a placeholder: as in experiment {self.format}"
            else:
                where = self._hub(key, str(entry))
                content = {"source": "hub", **where} if where else {"source": "local", "path": str(entry)}
                name = self.name if len(entries) == 1 else f"{self.name}_{number}"
                found = [{"name": self._file("datasets", name, content), "weight": weight}]
                remark = "" if where or str(entry).startswith(("/", "~")) else "a path from this project's root"
            self._say("translated", key, entry, f"datasets: {', '.join(use['name'] for use in found)}", remark)
            uses += found
        if len(entries) > 1:
            self.comments["datasets"] = "RLinf's openpi loader reads the first only"
        return uses

    def _usual_datasets(self, key: str) -> list[dict[str, Any]]:
        """Return the datasets of the experiment with the format's name."""
        path = self.root / f"config/experiments/{self.format}.yaml"
        content = inherit(path) if path.is_file() else None
        if not isinstance(content, dict) or not content.get("datasets"):
            raise self._error(key, f"names no dataset, and {path} has none to take instead")
        return content["datasets"]

    def _hub(self, key: str, value: str) -> dict[str, str] | None:
        """Parse `org/name@revision` as {repo, revision}; None for a folder.

        Without a revision, takes that of a dataset in config/datasets with this repo.
        """
        match = HUB.fullmatch(value)
        if match is None or Path(value).is_dir():
            return None
        repo, revision = match.groups()
        ours = sorted((self.root / "config/datasets").glob("*.yaml")) if key.startswith("data.") else []
        for content in map(load_yaml, ours):
            if revision is None and isinstance(content, dict) and content.get("repo") == repo:
                revision = content.get("revision")
        if revision is None:
            raise self._error(
                key,
                f"'{repo}' is a hub repo, which needs a pinned revision, {repo}@<commit or tag>; a folder begins with "
                "/, ~ or ./",
            )
        return {"repo": repo, "revision": str(revision)}

    def _file(self, kind: str, name: str, content: dict[str, Any]) -> str:
        """Return the name of the file in config/`kind` with `content`: an existing one, or `name`, to be written."""
        for path in sorted((self.root / f"config/{kind}").glob("*.yaml")):
            if load_yaml(path) == content:
                return path.stem
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        self.files[Path(f"config/{kind}/{name}.yaml")] = f"# From RLinf's {self.path.name}.\n{text}"
        return name

    def _finetune(self, files_missing: bool) -> None:
        task = self._get("actor.model.openpi.task")
        if task is not None:
            self._say("checked" if task == "sft" else "left out", "actor.model.openpi.task", task)
        lora, key = self._flag("actor.model.is_lora"), "actor.model.openpi.train_expert_only"
        expert_only = self._flag(key)
        if lora:
            self._lora()
        else:
            self._say_unread(["actor.model.is_lora"], "finetune: {method: full} is the default")
            self._say_unread(["actor.model.lora_rank", "actor.model.lora_path"], "is_lora is false")
        if expert_only and not lora and task != "sft":
            self._set("finetune", {"method": "full", "freeze": ["vision", "vlm"]}, "RLinf's train_expert_only")
            self._say("translated", key, True, "finetune.freeze: [vision, vlm]")
        elif expert_only:
            self._say("left out", key, True, remark="LoRA's base is frozen anyhow" if lora else "not read: task is sft")
        elif files_missing and self._raw(key) is None and not lora and task != "sft":
            reason = f"{key} may be in a file that is missing; where it is true, RLinf freezes [vision, vlm]"
            self._set("finetune", {"method": "full"}, assumed=reason)
        else:
            self._say_unread([key], "nothing is frozen, as by default")

    def _lora(self) -> None:
        rank = self._number("actor.model.lora_rank", LORA_RANK)
        self._set("finetune", {"method": "lora", "targets": "rlinf"})
        self._say("translated", "actor.model.is_lora", True, "finetune: {method: lora, targets: rlinf}")
        self._say("translated", "actor.model.lora_rank", rank, "finetune.rank, finetune.alpha")
        if rank != LORA_RANK:
            self.ours["finetune"] |= {"rank": rank, "alpha": rank}
        if adapter := self._get("actor.model.lora_path"):
            self._set("finetune.adapter", adapter)
            self._say("translated", "actor.model.lora_path", adapter, "finetune.adapter")

    def _steps(self) -> None:
        steps, epochs = self._number("runner.max_steps", -1), self._number("runner.max_epochs", -1)
        if steps >= 0:
            self._set("train.steps", steps)
            self._say("translated", "runner.max_steps", steps, "train.steps")
            reason = "; there, training ends with whichever comes first" if epochs > 0 else ""
            self._say_unread(["runner.max_epochs"], f"max_steps counts{reason}")
        elif epochs > 0:
            self._set("train.steps", epochs, "RLinf's max_epochs, an epoch being a step")
            remark = "as steps; where an epoch is a pass over the dataset, give runner.max_steps=<n>"
            self._say("translated", "runner.max_epochs", epochs, "train.steps", remark)
        else:
            raise self._error("runner.max_steps", "is missing, and runner.max_epochs too: how long to train")

    def _carried(self) -> None:
        for word in VOCABULARY:
            if word.how == "carried" and (value := self._get(word.theirs)) is not None:
                self._set(word.ours, value)
                self._say("carried", word.theirs, value, word.ours)
        for key in ("actor.global_batch_size", "actor.optim.lr"):
            if self._number(key) is None:
                raise self._error(key, "is missing, and has no default in RLinf either")
        if self._number("actor.optim.weight_decay") is None:
            self._set("train.weight_decay", WEIGHT_DECAY, "RLinf's default", "RLinf's default")

    def _schedule(self) -> None:
        optim = "actor.optim."
        kind = str(self._get(optim + "lr_scheduler", "constant"))
        if kind not in SCHEDULES:
            raise self._error(optim + "lr_scheduler", f"found {kind}; {nearest(kind, SCHEDULES)}")
        peak, total = cast(float, self._number(optim + "lr")), self._number(optim + "total_training_steps", 0)
        self._warmup(kind, total)
        if kind.endswith("constant"):
            self._set("train.end_lr", peak, "constant after the warm-up: RLinf reads lr_scheduler, not warmup_style")
            self._say("translated", optim + "lr_scheduler", kind, "train.end_lr", "the rate stays at its peak")
            unread = [optim + key for key in ("total_training_steps", "min_lr", "min_lr_rate")]
            self._say_unread([key for key in unread if key not in self.said], "the rate is constant")
            return
        if total <= 0:
            raise self._error(optim + "total_training_steps", f"is missing: the {kind} schedule ends there")
        end, ends = self._number(optim + "min_lr", 0.0), optim + "min_lr"
        if (rate := self._number(optim + "min_lr_rate")) is not None:
            end, ends = rate * peak, optim + "min_lr_rate"
        if kind == "torch_cosine":
            end, ends = TORCH_COSINE_END, ""
        self._set("train.end_lr", end)
        self._set("train.decay_steps", total)
        self._say("translated", optim + "lr_scheduler", kind, "train.end_lr, train.decay_steps")
        self._say("translated", optim + "total_training_steps", total, "train.decay_steps")
        if ends:
            self._say("translated", ends, self._get(ends, 0.0), f"train.end_lr: {_yaml(end)}")
        self._say_unread({optim + "min_lr", optim + "min_lr_rate"} - {ends}, "not read with the other keys as they are")

    def _warmup(self, kind: str, total: float) -> None:
        key, ratio_key = "actor.optim.lr_warmup_steps", "actor.optim.lr_warmup_steps_ratio"
        steps, ratio = self._number(key, -1), self._number(ratio_key, 0.0)
        if kind.startswith("torch_"):
            self._set("train.warmup_steps", 0, f"{kind} has none")
            self._say_unread([key, ratio_key], f"{kind} has no warm-up")
        elif steps >= 0:
            self._set("train.warmup_steps", steps)
            self._say("translated", key, steps, "train.warmup_steps")
            self._say_unread([ratio_key], "lr_warmup_steps goes before it")
        elif self._get(ratio_key) is not None:
            self._set("train.warmup_steps", int(ratio * total))
            self._say("translated", ratio_key, ratio, f"train.warmup_steps: {int(ratio * total)}")
        else:
            self._set("train.warmup_steps", 0, "RLinf's where lr_warmup_steps is not given", "no lr_warmup_steps: none")

    def _precision(self) -> None:
        keys = ["actor.fsdp_config.mixed_precision.param_dtype", "actor.model.precision"]
        if self._raw("actor.fsdp_config.amp_autocast.enabled") is True:
            keys.insert(1, "actor.fsdp_config.amp_autocast.precision")
        chosen = ""
        for key in keys:
            value = self._raw(key)
            if value is not None and unresolved(value):
                # ${actor.model.precision}, where the model's template is not here
                self._say("left out", key, value, remark="not resolved; taken for null, as in RLinf's templates")
            elif value is not None and chosen:
                self._say("left out", key, value, remark=f"{chosen} goes before it; trained weights are fp32")
            elif value is not None:
                chosen = key
                precision = "fp32" if str(value) in ("fp32", "32", "32-true") else "bf16"
                self._set("train.precision", precision)
                exact = precision == "fp32" or str(value).startswith("bf16")
                self._say(
                    "translated", key, value, f"train.precision: {precision}", "" if exact else "there is no fp16"
                )

    def _positive(self) -> None:
        """Translate numbers that mean "unset" at 0 and below."""
        for key, ours in (
            ("runner.save_interval", "train.save_every"),
            ("runner.val_check_interval", "train.validate_every"),
            ("data.num_workers", "cluster.workers"),
        ):
            value = self._number(key)
            if value is not None and value > 0:
                self._set(ours, value)
                self._say("translated", key, value, ours)
            elif value is not None:
                self._say("left out", key, value, remark=f"{ours} keeps its default")

    def _logging(self) -> None:
        key = "runner.logger.logger_backends"
        value = self._get(key)
        if value is None:
            return
        backends = [str(name) for name in (value if isinstance(value, list) else [value])]
        self._set("logging.tensorboard", "tensorboard" in backends)
        self._set("logging.wandb", "online" if "wandb" in backends else "off")
        others = sorted({*backends} - {"tensorboard", "wandb"})
        self._say("translated", key, value, "logging", f"there is no {', '.join(others)}" if others else "")

    def _gpus(self) -> None:
        nodes = self._count("cluster.num_nodes")
        placement = self._get("cluster.component_placement.*", {})
        if not isinstance(placement, dict):
            raise ConfigError(f"{self.path}: cluster.component_placement: found {placement!r}; expected actor: 0-3")
        for components, ranks in placement.items():
            key = f"cluster.component_placement.{components}"
            gpus = _gpu_numbers(ranks.get("placement") if isinstance(ranks, dict) else ranks)
            if "actor" not in [name.strip() for name in components.split(",")]:
                self._say("left out", key, ranks, remark="only the actor trains")
            elif not gpus or len(gpus) % nodes:
                self._say(
                    "left out", key, ranks, remark=f"no number for each of {nodes} nodes: set cluster.gpus by hand"
                )
            else:
                count = len(gpus) // nodes
                # a range from 0 only gives the number of GPUs; the machine or SLURM chooses which
                chosen = count if nodes > 1 or gpus == list(range(count)) else ",".join(map(str, gpus))
                self._set("cluster.gpus", chosen)
                self._say("translated", key, ranks, f"cluster.gpus: {chosen}")
            if isinstance(ranks, dict):
                self.said |= {f"{key}.{part}" for part in ranks}

    def _batch(self) -> None:
        """Report a batch size that RLinf would refuse; there is no such condition here."""
        batch = cast(float, self._number("actor.global_batch_size"))  # without one there is no experiment
        micro = self._count("actor.micro_batch_size")
        gpus = str(self.ours.get("cluster", {}).get("gpus", 1))
        count = int(gpus) if gpus.isdigit() else gpus.count(",") + 1
        processes = self._count("cluster.num_nodes") * count
        if batch % (micro * processes):
            reason = f"{_yaml(batch)} is no multiple of micro_batch_size · processes, {micro} · {processes}"
            self.lines.append(Line("checked", f"actor.global_batch_size: {reason}: RLinf would refuse it"))

    def _fixed(self, format: FormatConfig) -> None:
        """Check settings that are fixed here, or that the format determines."""
        of_format = {
            "actor.model.openpi.action_horizon": format.action_horizon,
            "actor.model.openpi.discrete_state_input": format.discrete_state_input,
            "actor.model.openpi.num_images_in_input": len(format.cameras),
        }
        for key, expected in (FIXED | of_format).items():
            value = self._get(key)
            if value == expected:
                self._say("checked", key, value)
            elif value is not None and key in of_format:
                remark = f"format {self.format} has {_yaml(expected)}; for another, copy it"
                self._say("left out", key, value, remark=remark)
            elif value is not None:
                self._say("left out", key, value, remark=f"it is {_yaml(expected)} here")

    def _rest(self) -> None:
        """Add a line for every key that has none yet; keys under one vocabulary entry share a line."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for key, value in _leaves(self.content):
            parts = key.split(".")
            above = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
            if self.said.isdisjoint(above) and value is not None:
                word = next((word for word in (key, *(f"{part}.*" for part in above)) if word in WORDS), key)
                found.setdefault(word, []).append((key, value))
        for word, leaves in found.items():
            if word not in WORDS:
                match = difflib.get_close_matches(word, WORDS, n=1, cutoff=0.8)
                remark = f"did you mean {match[0]}?" if match else "not among RLinf's keys that are known here"
                self._say("unknown", word, leaves[0][1], remark=remark)
            elif len(leaves) == 1:
                self._say("left out", *leaves[0], remark=WORDS[word].remark)
            else:
                names = ", ".join(key.removeprefix(word.removesuffix("*")) for key, _ in leaves)
                self.lines.append(Line("left out", f"{word}: {names} ({WORDS[word].remark})"))

    def _experiment(self) -> str:
        """Return the experiment's YAML: only what differs from the defaults, one block a section."""
        typed = parse(self.ours, Experiment, f"{self.path}, as experiment {self.name}")
        content = typed.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        if "finetune" in content:  # add back `method`, which is left out at its default
            content["finetune"] = {"method": typed.finetune.method} | content["finetune"]
        lines = [f"# From RLinf's {self.path.name}, by tools/import_rlinf.py."]
        for section in [section for section in self.ours if section in content]:
            value = content[section]
            if section == "finetune" or not isinstance(value, dict):
                lines.append(f"{section}: {_yaml(value)}{self._comment(section)}")
            else:
                lines.append(f"{section}:")
                lines += [f"  {key}: {_yaml(value[key])}{self._comment(f'{section}.{key}')}" for key in value]
        return "\n".join(lines) + "\n"

    def _comment(self, key: str) -> str:
        return f"  # {self.comments[key]}" if key in self.comments else ""


def _yaml(value: Any) -> str:
    """Return `value` as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.strip().removesuffix("\n...").strip()


def _gpu_numbers(ranks: Any) -> list[int] | None:
    """Parse `0-3,6` as [0, 1, 2, 3, 6], without the processes after a colon; None for `all` and the like."""
    numbers: set[int] = set()
    for item in str(ranks).split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?(?::.*)?", item.strip())
        if match is None:
            return None
        numbers |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(numbers)


def _leaves(content: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
