"""Translates how long is trained, and the learning rate over time. Start from `choose_steps` and `choose_schedule`."""

from __future__ import annotations

from pisft.config.base import nearest
from pisft.rlinf.draft import Draft, inline
from pisft.rlinf.report import Report
from pisft.rlinf.source import Source

SCHEDULES = ["constant", "cosine", "openpi_cosine", "torch_constant", "torch_cosine"]
TORCH_COSINE_END = 1e-6  # in RLinf, whatever min_lr says
KIND, TOTAL = "actor.optim.lr_scheduler", "actor.optim.total_training_steps"
END, END_RATE = "actor.optim.min_lr", "actor.optim.min_lr_rate"
WARMUP, WARMUP_RATIO = "actor.optim.lr_warmup_steps", "actor.optim.lr_warmup_steps_ratio"


def choose_steps(source: Source, draft: Draft, report: Report) -> None:
    """Set the number of steps."""
    steps, epochs = source.number("runner.max_steps", -1), source.number("runner.max_epochs", -1)
    if steps >= 0:
        draft.put("train.steps", steps)
        report.say("translated", "runner.max_steps", steps, "train.steps")
        reason = "; there, training ends with whichever comes first" if epochs > 0 else ""
        report.unread(["runner.max_epochs"], f"max_steps counts{reason}")
    elif epochs > 0:
        draft.put("train.steps", epochs, "RLinf's max_epochs, an epoch being a step")
        remark = "as steps; where an epoch is a pass over the dataset, give runner.max_steps=<n>"
        report.say("translated", "runner.max_epochs", epochs, "train.steps", remark)
    else:
        raise source.error("runner.max_steps", "is missing, and runner.max_epochs too: how long to train")


def choose_schedule(source: Source, draft: Draft, report: Report) -> None:
    """Set the warm-up of the learning rate, where it ends and when."""
    kind = str(source.get(KIND, "constant"))
    if kind not in SCHEDULES:
        raise source.error(KIND, f"found {kind}; {nearest(kind, SCHEDULES)}")
    peak, total = source.required("actor.optim.lr"), source.number(TOTAL, 0)
    _warmup(source, draft, report, kind, total)
    if kind.endswith("constant"):
        draft.put("train.end_lr", peak, "constant after the warm-up: RLinf reads lr_scheduler, not warmup_style")
        report.say("translated", KIND, kind, "train.end_lr", "the rate stays at its peak")
        report.unread([key for key in (TOTAL, END, END_RATE) if key not in report.said], "the rate is constant")
        return
    if total <= 0:
        raise source.error(TOTAL, f"is missing: the {kind} schedule ends there")
    end, said_by = source.number(END, 0.0), END
    if (rate := source.number(END_RATE)) is not None:
        end, said_by = rate * peak, END_RATE
    if kind == "torch_cosine":
        end, said_by = TORCH_COSINE_END, ""
    draft.put("train.end_lr", end)
    draft.put("train.decay_steps", total)
    report.say("translated", KIND, kind, "train.end_lr, train.decay_steps")
    report.say("translated", TOTAL, total, "train.decay_steps")
    if said_by:
        report.say("translated", said_by, source.get(said_by, 0.0), f"train.end_lr: {inline(end)}")
    report.unread([key for key in (END, END_RATE) if key != said_by], "not read with the other keys as they are")


def _warmup(source: Source, draft: Draft, report: Report, kind: str, total: float) -> None:
    steps, ratio = source.number(WARMUP, -1), source.number(WARMUP_RATIO, 0.0)
    if kind.startswith("torch_"):
        draft.put("train.warmup_steps", 0, f"{kind} has none")
        report.unread([WARMUP, WARMUP_RATIO], f"{kind} has no warm-up")
    elif steps >= 0:
        draft.put("train.warmup_steps", steps)
        report.say("translated", WARMUP, steps, "train.warmup_steps")
        report.unread([WARMUP_RATIO], "lr_warmup_steps goes before it")
    elif source.get(WARMUP_RATIO) is not None:
        draft.put("train.warmup_steps", int(ratio * total))
        report.say("translated", WARMUP_RATIO, ratio, f"train.warmup_steps: {int(ratio * total)}")
    else:
        draft.put("train.warmup_steps", 0, "RLinf's where lr_warmup_steps is not given")
        report.assume("train.warmup_steps", 0, "no lr_warmup_steps: none")
