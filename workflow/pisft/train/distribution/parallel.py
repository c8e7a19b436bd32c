"""Prepares the model for training: which parameters are trained, in which precision, sharded over the processes.

Start from `build`. Blocks are the unit of sharding (FSDP2), of activation checkpointing and of compilation.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from pisft.architecture.memory import part_of
from pisft.config.experiment import Resolved
from pisft.config.finetune import Lora
from pisft.config.model import BaseWeights
from pisft.model import Pi0, load_weights, lora
from pisft.model.compiling import compile_blocks, keep_in, wanted
from pisft.model.weights import put_shard
from pisft.train.base_weights import base_path
from pisft.train.distribution.world import World


def build(config: Resolved, root: Path, world: World) -> Pi0:
    """Return the model on the device, ready to train, with its base weights, or with random ones from `train.seed`.

    `root` is the project's folder; base weights of other experiments are found below it.
    """
    base = config.model.base
    torch.manual_seed(config.train.seed)
    # base weights are loaded after sharding: until then the model takes no memory
    with torch.device("meta" if isinstance(base, BaseWeights) else "cpu"):
        model = Pi0(config.model)
    restrict(model, config)
    keep_in(root)
    prepare(model, config, world)
    if not isinstance(base, BaseWeights):
        model.to(world.device)
    shard(model, world, config.train.precision)
    if isinstance(base, BaseWeights):
        model.to_empty(device=world.device)
        load_weights(model, base_path(config, root))
        if isinstance(config.finetune, Lora):
            _start_adapters(model, config.finetune, config.train.seed, root)
    return model.train()


def restrict(model: Pi0, config: Resolved) -> None:
    """Freeze what `config` does not train, cast frozen parameters to the compute precision, add LoRA adapters."""
    if isinstance(config.finetune, Lora):
        lora.wrap(model, config.finetune)
    else:
        for name, parameter in model.named_parameters():
            if part_of(name) in config.finetune.freeze:
                parameter.requires_grad_(False)
    if not config.format.cameras:
        # without cameras the vision tower gets no gradient
        model.vision.requires_grad_(False)
        model.projector.requires_grad_(False)
    for parameter in model.parameters():
        if not parameter.requires_grad and config.train.precision == "bf16":
            parameter.data = parameter.data.bfloat16()


def shard(model: Pi0, world: World, precision: str) -> None:
    """Shard every parameter over the ranks: fp32 master weights, gathered in `precision`, gradients reduced in fp32."""
    if world.size == 1:
        return
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision == "bf16" else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for block in (*model.vision.layers, *model.layers, model):
        fully_shard(block, mesh=world.mesh, mp_policy=policy)
    for method in ("flow_loss", "sample_actions"):
        register_fsdp_forward_method(model, method)
    for block in model.layers:
        for method in ("encode", "decode"):
            register_fsdp_forward_method(block, method)


def exchange(model: Pi0, last: bool) -> None:
    """Sum gradients over copies of the model in the next backward pass only if it is a step's last."""
    if isinstance(model, FSDPModule):
        model.set_requires_all_reduce(last)


def whole(parameter: Tensor) -> Tensor:
    """Return the full value of a parameter on the CPU; for a sharded one, all ranks must call this."""
    value = parameter.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()


def prepare(model: Pi0, config: Resolved, world: World) -> None:
    """Compile the blocks of `model` and let them recompute, as `config.cluster` says."""
    # replace `forward`, not the module: parameter names stay, and FSDP's hooks stay outside of it
    if wanted(config.cluster.compile, world.device, world.lead):
        compile_blocks(model)
    if config.cluster.activation_checkpointing:
        for block in (*model.vision.layers, *model.layers):
            block.forward = _recomputed(block)


def _recomputed(block: nn.Module):
    forward = block.forward
    recomputed = partial(checkpoint, forward, use_reentrant=False)
    return lambda *args: recomputed(*args) if torch.is_grad_enabled() else forward(*args)


def _start_adapters(model: Pi0, config: Lora, seed: int, root: Path) -> None:
    if config.adapter is not None:
        lora.load_adapter(model, root / Path(config.adapter).expanduser())
        return

    def fill(parameter: Tensor, values: Tensor) -> None:
        put_shard(parameter, values) if isinstance(parameter, DTensor) else parameter.copy_(values)

    lora.initialise(model, config, seed, fill)
