"""A model card whose numbers are eval.json's. Start from `card`."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from pisft.config.dataset import GeneratedDataset, HubDataset
from pisft.config.experiment import Resolved
from pisft.config.finetune import Lora
from pisft.config.model import BaseWeights
from pisft.evaluate.compare import MEAN, Mean, over_suites
from pisft.names import one_line
from pisft.records.evaluation import Evaluation
from pisft.records.provenance import Record

VARIANTS = {"pi0": "π₀", "pi05": "π₀.₅"}


def card(config: Resolved, evaluation: Evaluation, keys: dict[str, str], license: str, title: str, use: str) -> str:
    """README.md for the hub: `evaluation` is eval.json, `keys` are those of the checkpoint's and its provenance
    records, `use` says how the weights are loaded."""
    closed = evaluation.closed_loop
    rates: dict[str, Mean] = {}
    if closed:
        rates = {
            suite: Mean(rate.success, rate.wilson95, rate.successes, rate.episodes)
            for suite, rate in closed.suites.items()
        }
        if len(rates) > 1:
            rates[MEAN] = over_suites(closed)
    base = _base(config)
    hubs = [use.origin.repo for use in config.datasets if isinstance(use.origin, HubDataset)]
    front = ModelCardData(
        license=license,
        library_name="pi-sft",
        pipeline_tag="robotics",
        tags=["robotics", "vision-language-action", config.model.variant, *(["lora"] if _adapted(config) else [])],
        datasets=hubs or None,
        base_model=base if base and "/" in base and " " not in base else None,
        model_name=title,
        eval_results=[
            EvalResult(
                task_type="robotics",
                dataset_type=closed.protocol.simulator,
                dataset_name=suite,
                dataset_config=suite,  # by which the hub tells results apart
                metric_type="success",
                metric_name="success rate",
                metric_value=rate.success,
            )
            for suite, rate in rates.items()
            if closed
        ]
        or None,
    )
    published = config.published
    theirs = (
        dict(published.suites) | ({MEAN: published.average} if published and published.average else {})
        if published
        else {}
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = _inline
    return environment.get_template("card.md.j2").render(
        front=f"---\n{front.to_yaml()}\n---",
        title=title,
        config=config,
        evaluation=evaluation,
        loss_name=evaluation.loss_name,
        closed=closed,
        rates=rates,
        published={name: f"{100 * rate:.1f} %" for name, rate in theirs.items()},
        source=published.source if published else None,
        variant=VARIANTS[config.model.variant],
        method="LoRA" if _adapted(config) else "all parameters",
        step=evaluation.checkpoint.step,
        batch=config.train.global_batch_size,
        base=base,
        datasets=[_dataset(use) for use in config.datasets],
        errors=list(evaluation.open_loop.action_error.robot.per_dim.items()),
        packages=", ".join(f"{name} {version}" for name, version in closed.protocol.packages.items()) if closed else "",
        keys=keys,
        use=use,
    )


def _inline(text: str) -> str:
    """What others wrote as Markdown that shows it: in one line and one cell, and no markup."""
    return re.sub(r"([\\`*{}\[\]|])", r"\\\1", html.escape(one_line(text), quote=False))


def keys_of(run_dir: Path) -> dict[str, str]:
    """The keys in the provenance records of the checkpoint and the evaluation in `run_dir`."""
    stages = ("train", "evaluate")
    return {stage: Record.read(run_dir / f"provenance/{stage}.json").key for stage in stages}


def _adapted(config: Resolved) -> bool:
    return isinstance(config.finetune, Lora)


def _base(config: Resolved) -> str | None:
    base = config.model.base
    if not isinstance(base, BaseWeights):
        return None
    if base.orbax:
        return f"openpi's {config.model_name}"
    return base.repo or (f"the experiment {base.experiment}" if base.experiment else "weights of a folder")


def _dataset(use: Any) -> str:
    if isinstance(use.origin, HubDataset):
        return f"[{use.origin.repo}](https://huggingface.co/datasets/{use.origin.repo}) at `{use.origin.revision}`"
    if isinstance(use.origin, GeneratedDataset):
        count = use.origin.episodes_per_task
        return f"{use.name}: {count} demonstrations each of {', '.join(use.origin.tasks)} ({use.origin.simulator})"
    return use.name
