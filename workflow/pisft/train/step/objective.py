"""The flow-matching loss of a batch, over all action dims as trained and of each real one as reported."""

from __future__ import annotations

import torch
from torch import Tensor

from pisft.model import Pi0
from pisft.train.step.batches import Batch


def flow_losses(model: Pi0, batch: Batch, real_dims: int, precision: str) -> tuple[Tensor, Tensor]:
    """(loss, losses of the first `real_dims` dims (real_dims,)): means over samples, draws and horizon.

    openpi's JAX model averages over all padded dims. `bf16` computes under autocast; weights and losses stay fp32.
    """
    with torch.autocast(batch.actions.device.type, torch.bfloat16, enabled=precision == "bf16"):
        loss = model.flow_loss(batch.augmented(), batch.actions, batch.noise, batch.time)
    loss = loss.float()
    return loss.mean(), loss.detach()[..., :real_dims].flatten(0, -2).mean(0)
