"""Computes the held-out loss, on the same frames, noise and times each time. Start from `Validation`."""

from __future__ import annotations

import numpy as np
import torch

from pisft.config.experiment import Resolved
from pisft.model import Pi0
from pisft.train.distribution.world import World
from pisft.train.step.batches import make_batch
from pisft.train.step.corpus import Corpus
from pisft.train.step.objective import flow_losses

FRAMES = 256
DRAWS = 4
BATCH_SIZE = 32
STEP = 2**40  # beyond any training step, so that no training batch has the same noise


class Validation:
    """The loss on at most `FRAMES` held-out frames, chosen by the split's seed, with `DRAWS` draws each."""

    def __init__(self, config: Resolved, corpus: Corpus, world: World):
        self.precision, self.real_dims = config.train.precision, corpus.real_dims
        self.seed, self.frames, self.world = config.split.seed, corpus.heldout, world
        frames = len(self.frames) if self.frames else 0
        self.chosen = np.sort(np.random.default_rng([self.seed, STEP]).permutation(frames)[:FRAMES])

    @torch.no_grad()
    def __call__(self, model: Pi0) -> dict[str, float]:
        """Return `val_loss` and `val_loss_real_dims` of the weights in `model`; nothing if no frames are held out."""
        if self.frames is None:
            return {}
        total = len(self.chosen)
        mean = torch.zeros(2, dtype=torch.float64, device=self.world.device)
        for places in np.split(np.arange(total), range(BATCH_SIZE, total, BATCH_SIZE)):
            mine = places[self.world.share(len(places))]
            # a rank without a share computes one frame and discards it: a sharded model's forward passes are collective
            computed = mine if len(mine) else places[:1]
            batch = make_batch(self.frames, self.chosen[computed], self.seed, STEP, computed, DRAWS)
            loss, dims = flow_losses(model, batch.to(self.world.device), self.real_dims, self.precision)
            mean += torch.stack([loss, dims.mean()]).double() * (len(mine) / total)
        loss, real = self.world.sum(mean).tolist()
        return {"val_loss": loss, "val_loss_real_dims": real}
