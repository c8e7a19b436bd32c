"""Translates keys whose value stands by itself: numbers, precision and logging. Start from `carry`."""

from __future__ import annotations

from pisft.rlinf.draft import Draft
from pisft.rlinf.hydra import unresolved
from pisft.rlinf.report import Report
from pisft.rlinf.source import Source
from pisft.rlinf.vocabulary import VOCABULARY

WEIGHT_DECAY = 0.01  # RLinf's default
UNSET_AT_ZERO = {  # and below
    "runner.save_interval": "train.save_every",
    "runner.val_check_interval": "train.validate_every",
    "data.num_workers": "cluster.workers",
}


def carry(source: Source, draft: Draft, report: Report) -> None:
    """Set what keeps its value; raises `ConfigError` if the batch or the learning rate is missing."""
    for word in VOCABULARY:
        if word.how == "carried" and (value := source.get(word.theirs)) is not None:
            draft.put(word.ours, value)
            report.say("carried", word.theirs, value, word.ours)
    for key in ("actor.global_batch_size", "actor.optim.lr"):
        source.required(key)
    if source.number("actor.optim.weight_decay") is None:
        draft.put("train.weight_decay", WEIGHT_DECAY, "RLinf's default")
        report.assume("train.weight_decay", WEIGHT_DECAY, "RLinf's default")


def carry_positive(source: Source, draft: Draft, report: Report) -> None:
    """Set what keeps its value where that is above 0."""
    for key, ours in UNSET_AT_ZERO.items():
        value = source.number(key)
        if value is not None and value > 0:
            draft.put(ours, value)
            report.say("translated", key, value, ours)
        elif value is not None:
            report.say("left out", key, value, remark=f"{ours} keeps its default")


def choose_precision(source: Source, draft: Draft, report: Report) -> None:
    """Set the precision by the first key that says one, in the order in which RLinf's trainer asks them."""
    keys = ["actor.fsdp_config.mixed_precision.param_dtype", "actor.model.precision"]
    if source.raw("actor.fsdp_config.amp_autocast.enabled") is True:
        keys.insert(1, "actor.fsdp_config.amp_autocast.precision")
    chosen = ""
    for key in keys:
        value = source.raw(key)
        if value is not None and unresolved(value):
            # ${actor.model.precision}, where the model's template is not here
            report.say("left out", key, value, remark="not resolved; taken for null, as in RLinf's templates")
        elif value is not None and chosen:
            report.say("left out", key, value, remark=f"{chosen} goes before it; trained weights are fp32")
        elif value is not None:
            chosen = key
            precision = "fp32" if str(value) in ("fp32", "32", "32-true") else "bf16"
            draft.put("train.precision", precision)
            exact = precision == "fp32" or str(value).startswith("bf16")
            report.say("translated", key, value, f"train.precision: {precision}", "" if exact else "there is no fp16")


def choose_logging(source: Source, draft: Draft, report: Report) -> None:
    """Set which logs are kept."""
    key = "runner.logger.logger_backends"
    value = source.get(key)
    if value is None:
        return
    backends = [str(name) for name in (value if isinstance(value, list) else [value])]
    draft.put("logging.tensorboard", "tensorboard" in backends)
    draft.put("logging.wandb", "online" if "wandb" in backends else "off")
    others = sorted({*backends} - {"tensorboard", "wandb"})
    report.say("translated", key, value, "logging", f"there is no {', '.join(others)}" if others else "")
