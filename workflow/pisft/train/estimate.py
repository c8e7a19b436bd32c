"""Estimates what a run will need before anything is loaded, and refuses one that cannot fit. Start from `check`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import torch

from pisft.architecture.memory import GIB, estimate
from pisft.config.experiment import Resolved
from pisft.train.distribution.world import World
from pisft.train.errors import TrainingError


def check(config: Resolved, run_dir: Path, world: World) -> None:
    """Print the estimate; raises `TrainingError` where memory or disk cannot hold it."""
    needed = estimate(config, world.size)
    if world.lead:
        print(f"{config.name}: {needed}", file=sys.stderr)
    device = world.device
    if device.type == "cuda":
        available, where = torch.cuda.mem_get_info(device)[0], f"{device} has {{:.2f}} GiB free"
        share = needed.device
    else:
        available, where = _free_memory(), "this machine has {:.2f} GiB free"
        share = (needed.device + needed.copy) * world.size
    if share > available:
        raise TrainingError(
            f"{config.name}: training needs about {share / GIB:.2f} GiB; {where.format(available / GIB)}. "
            "Lower cluster.micro_batch_size, set cluster.activation_checkpointing, use more processes (on several "
            "nodes with cluster.shard: all), or finetune.method lora"
        )
    if (copies := needed.copy * int(os.environ.get("LOCAL_WORLD_SIZE", 1))) > _free_memory():
        raise TrainingError(
            f"{config.name}: states are saved from a copy in main memory, {copies / GIB:.2f} GiB; this machine has "
            f"{_free_memory() / GIB:.2f} GiB free. Give it more (config/site.yaml: train.memory_gb), or use more nodes"
        )
    free = shutil.disk_usage(run_dir).free
    if world.lead and needed.disk > free:
        raise TrainingError(
            f"{run_dir}: the training state and the checkpoints need about {needed.disk / GIB:.2f} GiB; "
            f"{free / GIB:.2f} GiB are free. Make room, or save fewer (raise train.keep_every)"
        )


def _free_memory() -> int:
    """Bytes that this machine, or the container around this process, can still give."""
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(facts["MemAvailable"].split()[0]) * 1024
    try:
        cap, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return free
    return min(free, cap - used)
