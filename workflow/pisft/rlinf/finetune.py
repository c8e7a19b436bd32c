"""Translates what is trained: all weights, the action expert only, or LoRA. Start from `choose_finetune`."""

from __future__ import annotations

from pisft.rlinf.draft import Draft
from pisft.rlinf.report import Report
from pisft.rlinf.source import Source

LORA_RANK = 32  # of the preset and of RLinf's templates


def choose_finetune(source: Source, draft: Draft, report: Report) -> None:
    """Set the method of fine-tuning, and what it freezes."""
    task = source.get("actor.model.openpi.task")
    if task is not None:
        report.say("checked" if task == "sft" else "left out", "actor.model.openpi.task", task)
    lora, key = source.flag("actor.model.is_lora"), "actor.model.openpi.train_expert_only"
    expert_only = source.flag(key)
    if lora:
        _lora(source, draft, report)
    else:
        report.unread(["actor.model.is_lora"], "finetune: {method: full} is the default")
        report.unread(["actor.model.lora_rank", "actor.model.lora_path"], "is_lora is false")
    if expert_only and not lora and task != "sft":
        draft.put("finetune", {"method": "full", "freeze": ["vision", "vlm"]}, "RLinf's train_expert_only")
        report.say("translated", key, True, "finetune.freeze: [vision, vlm]")
    elif expert_only:
        report.say("left out", key, True, remark="LoRA's base is frozen anyhow" if lora else "not read: task is sft")
    elif source.missing and source.raw(key) is None and not lora and task != "sft":
        draft.put("finetune", {"method": "full"})
        reason = f"{key} may be in a file that is missing; where it is true, RLinf freezes [vision, vlm]"
        report.assume("finetune", {"method": "full"}, reason)
    else:
        report.unread([key], "nothing is frozen, as by default")


def _lora(source: Source, draft: Draft, report: Report) -> None:
    rank = source.number("actor.model.lora_rank", LORA_RANK)
    draft.put("finetune", {"method": "lora", "targets": "rlinf"})
    report.say("translated", "actor.model.is_lora", True, "finetune: {method: lora, targets: rlinf}")
    report.say("translated", "actor.model.lora_rank", rank, "finetune.rank, finetune.alpha")
    if rank != LORA_RANK:
        draft.put("finetune.rank", rank)
        draft.put("finetune.alpha", rank)
    if adapter := source.get("actor.model.lora_path"):
        draft.put("finetune.adapter", adapter)
        report.say("translated", "actor.model.lora_path", adapter, "finetune.adapter")
