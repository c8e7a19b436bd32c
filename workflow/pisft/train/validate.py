"""The held-out loss: the same frames, noise and times whenever it is taken. Start from `Validation`."""

from __future__ import annotations

import numpy as np
import torch

from pisft.config.experiment import Resolved
from pisft.model import Pi0
from pisft.train.batches import make_batch
from pisft.train.corpus import Corpus
from pisft.train.objective import flow_losses

FRAMES = 256
DRAWS = 4
BATCH_SIZE = 32
STEP = 2**40  # a step that no training comes to: its noise is no training noise


class Validation:
    """At most `FRAMES` held-out frames, chosen by the split's seed, with `DRAWS` draws each."""

    def __init__(self, config: Resolved, corpus: Corpus, device: torch.device):
        self.precision, self.real_dims = config.train.precision, corpus.real_dims
        self.seed, self.frames, self.device = config.split.seed, corpus.heldout, device
        self.chosen = np.sort(np.random.default_rng([self.seed, STEP]).permutation(len(self.frames))[:FRAMES])

    @torch.no_grad()
    def __call__(self, model: Pi0) -> dict[str, float]:
        """`val_loss` and `val_loss_real_dims` of the weights that `model` holds."""
        losses, total = [], len(self.chosen)
        for places in np.split(np.arange(total), range(BATCH_SIZE, total, BATCH_SIZE)):
            batch = make_batch(self.frames, self.chosen[places], self.seed, STEP, places, DRAWS).to(self.device)
            loss = torch.stack(flow_losses(model, batch, self.real_dims, self.precision))
            losses.append(loss.double() * (len(batch) / total))
        mean = torch.stack(losses).sum(0).tolist()
        return {"val_loss": mean[0], "val_loss_real_dims": mean[1]}
