"""What training a model needs of a device's memory and of the disk. Start from `estimate`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pisft.architecture.adapters import preset
from pisft.architecture.names import module_name
from pisft.architecture.parameters import is_linear, parameters, size, without_gradient
from pisft.config.experiment import Resolved
from pisft.config.finetune import Lora

GIB = 2**30
STATES = 2  # training states that are kept on disk, each as large as weights, moments and average
PARTS: dict[Literal["vision", "vlm", "expert"], tuple[str, ...]] = {
    "vision": ("vision.",),
    "vlm": ("projector.", "embed_tokens.", "vlm_norm."),
    "expert": ("expert_norm.", "action_", "state_proj.", "time_mlp_"),
}


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
    """Estimate what training `config` on `processes` needs, from the shapes of its parameters alone."""
    every = _held(config)
    trained = sum(p.numbers for p in every if p.trained)
    average = 4 * trained if config.train.ema is not None else 0
    # in a checkpoint, what adapters change is merged in fp32
    checkpoint = sum(p.numbers * (4 if p.adapted else p.bytes) for p in every)
    state = 12 * trained + average
    shards = config.cluster.shards(processes, config.cluster.gpus_per_node)
    snapshots = config.train.steps // config.train.keep_every if config.train.keep_every else 0
    snapshots += config.eval.checkpoint == "best"
    return Estimate(
        parameters=sum(p.numbers for p in every if not p.adapter),
        trainable=trained,
        weights=sum(p.numbers * p.bytes for p in every) // shards,
        gradients=4 * trained // shards,
        optimiser=8 * trained // shards,
        average=average // shards,
        gathered=_gathered(every, config, processes),
        activations=_activations(config, processes),
        copy=state // shards,
        disk=(STATES + 1) * state + (2 + snapshots) * checkpoint,
    )


class _Parameter(NamedTuple):
    """A parameter in training: how many numbers, how many bytes each, and whether it is trained, is part of an adapter,
    or is a weight that one adapts."""

    name: str
    numbers: int
    bytes: int
    trained: bool
    adapter: bool = False
    adapted: bool = False


def _held(config: Resolved) -> list[_Parameter]:
    """List the parameters of the model that `config` trains, its adapters among them."""
    shapes, unused = parameters(config.model), without_gradient(config.model)
    frozen = 2 if config.train.precision == "bf16" else 4
    blind = not config.format.cameras
    adapters: dict[str, int] = {}
    full: list[re.Pattern[str]] = []
    if isinstance(config.finetune, Lora):
        choice = preset(config.finetune)
        adapters = {
            name: rank
            for name in shapes
            if is_linear(name) and name not in unused
            for pattern, (rank, _) in choice.targets.items()
            if re.fullmatch(pattern, module_name(name.removesuffix(".weight")))
        }
        full = [re.compile(pattern) for pattern in choice.train]
    held = []
    for name, shape in shapes.items():
        if isinstance(config.finetune, Lora):
            module = name.rpartition(".")[0]
            has_adapter = f"{module}.weight" in adapters
            trained = not has_adapter and any(pattern.fullmatch(module_name(module)) for pattern in full)
        else:
            has_adapter, trained = False, part_of(name) not in config.finetune.freeze
        seen = not (blind and name.startswith(("vision.", "projector.")))
        trained = trained and seen and name not in unused
        held.append(_Parameter(name, size(shape), 4 if trained else frozen, trained, adapted=has_adapter))
        if rank := adapters.get(name):
            held.append(_Parameter(name, rank * sum(shape), 4 if seen else frozen, trained=seen, adapter=True))
    return held


def part_of(name: str) -> Literal["vision", "vlm", "expert"]:
    """Return the part, vision, vlm or expert, that the parameter `name` belongs to."""
    if name.startswith("layers."):
        return "vlm" if name.split(".")[2] == "vlm" else "expert"
    return next(part for part, starts in PARTS.items() if name.startswith(starts))


def _gathered(every: list[_Parameter], config: Resolved, processes: int) -> int:
    """Count the weights in the compute precision: all trained ones under autocast; the root's and two blocks' where
    sharded."""
    bytes_each = 2 if config.train.precision == "bf16" else 4
    if processes == 1:
        return bytes_each * sum(p.numbers for p in every if p.trained) if bytes_each == 2 else 0
    blocks: dict[str, int] = {}
    for p in every:
        if match := re.match(r"(vision\.)?layers\.\d+", p.name):
            blocks[match[0]] = blocks.get(match[0], 0) + p.numbers
    root = sum(p.numbers for p in every) - sum(blocks.values())
    return bytes_each * (root + 2 * max(blocks.values()))


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
        saved = model.vision.depth * patches * model.vision.width
        saved += model.depth * (prefix * model.vlm.width + suffix * model.expert.width)
        return samples * size * (saved + max(vision, joint))
    return samples * size * (model.vision.depth * vision + model.depth * joint)
