"""A trained model as a policy: observations in, robot actions out. Start from `Policy(model, preprocessor).infer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pisft.config.experiment import Resolved
from pisft.data.loading.preprocess import Item, Preprocessor, collate
from pisft.data.statistics.norm_stats import load as load_norm_stats
from pisft.data.transforms.format import Format
from pisft.model import Pi0, load_weights
from pisft.model.sampling import Sampler

SAMPLING_STEPS = 10  # Euler steps from noise to actions, as in openpi


def load_policy(config: Resolved, folder: Path, device: torch.device) -> Policy:
    """Load the policy of a trained experiment; `folder` has its model.safetensors and norm_stats.json.

    Raises `PisftError`s.
    """
    preprocessor = Preprocessor(config.model, Format(config.format), load_norm_stats(folder / "norm_stats.json"))
    model = Pi0(config.model)
    load_weights(model, folder)
    # bf16 is slow on a CPU
    return Policy(model.to(device), preprocessor, config.train.precision if device.type == "cuda" else "fp32")


class Policy:
    """`model` in evaluation mode, on the device of its parameters, computing in `precision`."""

    def __init__(self, model: Pi0, preprocessor: Preprocessor, precision: Literal["fp32", "bf16"] = "fp32"):
        self.sampler, self.preprocessor = Sampler(model, precision), preprocessor
        self.noise_shape = (preprocessor.model.action_horizon, preprocessor.model.action_dim)

    def infer(self, observations: Sequence[dict[str, Any]], noise: np.ndarray) -> list[np.ndarray]:
        """Return robot actions float32 (H, d) for each observation in the dataset's keys; `noise` float32 (B, H, A)."""
        items = [self.preprocessor.item(observation) for observation in observations]
        chunks = self.sample(items, noise)
        return [self.preprocessor.actions(chunk, item.encoded_state) for chunk, item in zip(chunks, items, strict=True)]

    def sample(self, items: Sequence[Item], noise: np.ndarray) -> np.ndarray:
        """Return the model's own chunks, normalised and padded, float32 (B, H, A), one for each item."""
        batch, _ = collate(items)
        return self.sampler(batch, torch.from_numpy(noise), SAMPLING_STEPS).cpu().numpy()
