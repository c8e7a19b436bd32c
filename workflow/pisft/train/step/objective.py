"""The flow-matching loss of a batch: averaged over all action dims to train on, and for each real dim to report."""

from __future__ import annotations

import torch
from torch import Tensor

from pisft.model import Pi0
from pisft.train.step.batches import Batch


def flow_losses(model: Pi0, batch: Batch, real_dims: int, precision: str) -> tuple[Tensor, Tensor]:
    """Return (loss, losses of the first `real_dims` dims (real_dims,)): means over samples, draws and horizon.

    Like openpi's JAX model, the loss averages over all padded dims. `bf16` computes under autocast; weights and losses
    stay fp32.
    """
    with torch.autocast(batch.actions.device.type, torch.bfloat16, enabled=precision == "bf16"):
        loss = model.flow_loss(batch.augmented(), batch.actions, batch.noise, batch.time)
    loss = loss.float()
    return loss.mean(), loss.detach()[..., :real_dims].flatten(0, -2).mean(0)
