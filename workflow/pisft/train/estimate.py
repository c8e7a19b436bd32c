"""What a run will need, told before anything is loaded; a run that cannot fit is refused. Start from `check`."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from pisft.config.experiment import Resolved
from pisft.model import Pi0, lora
from pisft.train.checkpoints.state import KEPT
from pisft.train.distribution.parallel import restrict
from pisft.train.distribution.world import World
from pisft.train.errors import TrainingError

GIB = 2**30


@dataclass(frozen=True)
class Estimate:
    """Bytes: of one process's device by purpose, and of the disk. What a model holds for its backward pass is a rough
    guess; the rest follows from the shapes."""

    parameters: int
    trainable: int
    weights: int
    gradients: int
    optimiser: int
    average: int
    gathered: int
    activations: int
    copy: int
    disk: int

    @property
    def device(self) -> int:
        """All that one process's device must hold."""
        return self.weights + self.gradients + self.optimiser + self.average + self.gathered + self.activations

    def __str__(self) -> str:
        parts = ("weights", "gradients", "optimiser", "average", "gathered", "activations")
        held = ", ".join(f"{name} {getattr(self, name) / GIB:.2f}" for name in parts if getattr(self, name))
        return (
            f"{self.trainable:,} of {self.parameters:,} parameters are trained; each process needs about "
            f"{self.device / GIB:.2f} GiB ({held}), {self.copy / GIB:.2f} GiB of main memory to save from, "
            f"the disk {self.disk / GIB:.2f} GiB"
        )


def estimate(config: Resolved, processes: int) -> Estimate:
    """Of training `config` on `processes`, from the shapes alone."""
    with torch.device("meta"):
        model = Pi0(config.model)
    restrict(model, config)
    every = list(model.named_parameters())
    trained = sum(p.numel() for _, p in every if p.requires_grad)
    held = sum(p.numel() * p.element_size() for _, p in every)
    average = 4 * trained if config.train.ema is not None else 0
    # weights of the checkpoint: what adapters change is merged in fp32
    published = sum(p.numel() * (4 if ".base_layer." in n else p.element_size()) for n, p in every)
    state = 12 * trained + average
    kept = config.train.steps // config.train.keep_every if config.train.keep_every else 0
    kept += config.eval.checkpoint == "best"
    return Estimate(
        parameters=sum(p.numel() for name, p in every if not lora.is_adapter(name)),
        trainable=trained,
        weights=held // processes,
        gradients=4 * trained // processes,
        optimiser=8 * trained // processes,
        average=average // processes,
        gathered=_gathered(model, config, processes),
        activations=_activations(config, processes),
        copy=state // processes,
        disk=(KEPT + 1) * state + (2 + kept) * published,
    )


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
            "Lower cluster.micro_batch_size, set cluster.activation_checkpointing, use more processes, or "
            "finetune.method lora"
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
            f"{free / GIB:.2f} GiB are free. Make room, or keep fewer (train.keep_every)"
        )


def _gathered(model: Pi0, config: Resolved, processes: int) -> int:
    """Weights in the compute precision: all of them under autocast; the root's and two blocks' where sharded."""
    size = 2 if config.train.precision == "bf16" else 4
    if processes == 1:
        return size * sum(p.numel() for p in model.parameters() if p.requires_grad) if size == 2 else 0
    blocks = [*model.vision.layers, *model.layers]
    sizes = [sum(p.numel() for p in block.parameters()) for block in blocks]
    root = sum(p.numel() for p in model.parameters()) - sum(sizes)
    return size * (root + 2 * max(sizes))


def _activations(config: Resolved, processes: int) -> int:
    """What the backward pass of one micro-batch reads: per token and layer, about what each linear layer is given."""
    model, train = config.model, config.train
    share = -(-train.global_batch_size // processes)
    samples = min(config.cluster.micro_batch_size or share, share)
    size = 2 if train.precision == "bf16" else 4
    cameras = len(config.format.cameras)
    patches = cameras * (model.image_size // model.vision.patch) ** 2
    prefix, suffix = patches + model.max_token_len, train.flow_samples_per_prefix * (model.action_horizon + 1)
    inner = model.heads * model.head_dim
    vision = patches * (8 * model.vision.width + 2 * model.vision.mlp)
    joint = prefix * (6 * model.vlm.width + 3 * model.vlm.mlp + 3 * inner)
    joint += suffix * (8 * model.expert.width + 3 * model.expert.mlp + 3 * inner)
    if config.cluster.activation_checkpointing:
        # each block keeps what it is given; one at a time is computed again in full
        kept = model.vision.depth * patches * model.vision.width
        kept += model.depth * (prefix * model.vlm.width + suffix * model.expert.width)
        return samples * size * (kept + max(vision, joint))
    return samples * size * (model.vision.depth * vision + model.depth * joint)


def _free_memory() -> int:
    """Bytes that this machine, or the container around this process, can still give."""
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(facts["MemAvailable"].split()[0]) * 1024
    try:
        cap, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return free
    return min(free, cap - used)
