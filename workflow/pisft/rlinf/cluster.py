"""Translates RLinf's placement of processes to GPUs. Start from `choose_gpus`."""

from __future__ import annotations

import re
from typing import Any

from pisft.config.base import ConfigError
from pisft.rlinf.draft import Draft, inline
from pisft.rlinf.report import Line, Report
from pisft.rlinf.source import Source


def choose_gpus(source: Source, draft: Draft, report: Report) -> None:
    """Set the GPUs of each node: those that RLinf gives to its actor."""
    nodes = source.count("cluster.num_nodes")
    placement = source.get("cluster.component_placement.*", {})
    if not isinstance(placement, dict):
        raise ConfigError(f"{source.path}: cluster.component_placement: found {placement!r}; expected actor: 0-3")
    for components, ranks in placement.items():
        key = f"cluster.component_placement.{components}"
        gpus = _gpu_numbers(ranks.get("placement") if isinstance(ranks, dict) else ranks)
        if "actor" not in [name.strip() for name in components.split(",")]:
            report.say("left out", key, ranks, remark="only the actor trains")
        elif not gpus or len(gpus) % nodes:
            remark = f"no number for each of {nodes} nodes: set cluster.gpus by hand"
            report.say("left out", key, ranks, remark=remark)
        else:
            count = len(gpus) // nodes
            # a range from 0 only gives the number of GPUs; the machine or SLURM chooses which
            chosen = count if nodes > 1 or gpus == list(range(count)) else ",".join(map(str, gpus))
            draft.put("cluster.gpus", chosen)
            report.say("translated", key, ranks, f"cluster.gpus: {chosen}")
        if isinstance(ranks, dict):
            report.said |= {f"{key}.{part}" for part in ranks}


def check_batch(source: Source, draft: Draft, report: Report) -> None:
    """Report a batch size that RLinf would refuse; there is no such condition here."""
    batch = source.required("actor.global_batch_size")
    micro = source.count("actor.micro_batch_size")
    gpus = str(draft.sections.get("cluster", {}).get("gpus", 1))
    count = int(gpus) if gpus.isdigit() else gpus.count(",") + 1
    processes = source.count("cluster.num_nodes") * count
    if batch % (micro * processes):
        reason = f"{inline(batch)} is no multiple of micro_batch_size · processes, {micro} · {processes}"
        report.lines.append(Line("checked", f"actor.global_batch_size: {reason}: RLinf would refuse it"))


def _gpu_numbers(ranks: Any) -> list[int] | None:
    """Parse `0-3,6` as [0, 1, 2, 3, 6], without the processes after a colon; None for `all` and the like."""
    numbers: set[int] = set()
    for item in str(ranks).split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?(?::.*)?", item.strip())
        if match is None:
            return None
        numbers |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(numbers)
