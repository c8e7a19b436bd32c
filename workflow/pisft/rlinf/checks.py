"""Checks keys without a counterpart, whose value is settled here. Start from `check_kind` and `check_fixed`."""

from __future__ import annotations

from pisft.config.base import ConfigError, nearest
from pisft.rlinf.draft import inline
from pisft.rlinf.model import Format
from pisft.rlinf.report import Report
from pisft.rlinf.source import Source

MODEL_TYPES = ["openpi", "openpi_rlinf", "openpi_pytorch"]
# Settings that RLinf leaves open and that are fixed here in every experiment.
FIXED = {
    "actor.optim.adam_beta1": 0.9,
    "actor.optim.adam_beta2": 0.95,
    "actor.optim.adam_eps": 1e-8,
    "actor.optim.num_cycles": 0.5,
    "actor.model.openpi.paligemma_variant": "gemma_2b",
    "actor.model.openpi.action_expert_variant": "gemma_300m",
}


def check_kind(source: Source, report: Report) -> None:
    """Raise `ConfigError` unless a π₀ or π₀.₅ is fine-tuned."""
    key = "runner.task_type"
    if (kind := str(source.get(key, "sft"))).lower() != "sft":
        raise ConfigError(f"{source.path}: {key}: found {kind}; expected sft: there is no reinforcement learning here")
    report.say("checked", key, kind)
    key = "actor.model.model_type"
    if (kind := source.get(key, MODEL_TYPES[0])) not in MODEL_TYPES:
        raise ConfigError(
            f"{source.path}: {key}: found {kind}; expected a π₀ or π₀.₅; {nearest(str(kind), MODEL_TYPES)}"
        )
    if source.get(key):
        report.say("checked", key, kind)


def check_fixed(source: Source, report: Report, chosen: Format) -> None:
    """Report settings that are fixed here, or by the format, and what they are where RLinf's differ."""
    by_format = {
        "actor.model.openpi.action_horizon": chosen.config.action_horizon,
        "actor.model.openpi.discrete_state_input": chosen.config.discrete_state_input,
        "actor.model.openpi.num_images_in_input": len(chosen.config.cameras),
    }
    for key, expected in (FIXED | by_format).items():
        value = source.get(key)
        if value == expected:
            report.say("checked", key, value)
        elif value is not None and key in by_format:
            remark = f"format {chosen.name} has {inline(expected)}; for another, copy it"
            report.say("left out", key, value, remark=remark)
        elif value is not None:
            report.say("left out", key, value, remark=f"it is {inline(expected)} here")
