"""Open loop: how well a policy predicts demonstrations that it was not trained on. Start from `open_loop`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pisft.data.sampling import noise_and_time
from pisft.data.training_set import TrainingSet
from pisft.evaluate.policy import Policy

SEED = 0
DRAWS = 8  # of noise and time, a frame
BATCH_SIZE = 32


def open_loop(policy: Policy, heldout: TrainingSet) -> dict[str, Any]:
    """Flow loss over the real dims, and mean absolute action error in robot units, mean and per dim.

    Taken at every action_horizon-th frame of each episode, so that each action is predicted once.
    """
    horizon = policy.noise_shape[0]
    starts = np.r_[0, np.unique(heldout.last_frame)[:-1] + 1]  # of the episodes
    frames = np.concatenate(
        [np.arange(first, last + 1, horizon) for first, last in zip(starts, np.unique(heldout.last_frame), strict=True)]
    )
    losses, errors = [], []
    for places in np.split(np.arange(len(frames)), range(BATCH_SIZE, len(frames), BATCH_SIZE)):
        draws, times = noise_and_time(SEED, 0, places, DRAWS, *policy.noise_shape)
        losses.append(_flow_losses(policy, heldout, frames[places], draws, times))
        errors += _action_errors(policy, heldout, frames[places], draws[:, 0])
    per_dim = np.concatenate(errors).mean(axis=0, dtype=np.float64)
    return {
        "frames": len(frames),
        "flow_loss": float(np.concatenate(losses).mean(dtype=np.float64)),
        "action_mae": {"mean": float(per_dim.mean()), "per_dim": per_dim.tolist()},
    }


@torch.inference_mode()
def _flow_losses(
    policy: Policy, heldout: TrainingSet, frames: np.ndarray, draws: np.ndarray, times: np.ndarray
) -> np.ndarray:
    observation, actions = heldout.batch(frames)
    loss = policy.model.flow_loss(
        observation.to(policy.device),
        *(x.to(policy.device) for x in (actions, torch.from_numpy(draws), torch.from_numpy(times))),
    )
    return loss[..., : policy.preprocessor.action_dims].mean(dim=(1, 2, 3)).cpu().numpy()


def _action_errors(policy: Policy, heldout: TrainingSet, frames: np.ndarray, noise: np.ndarray) -> list[np.ndarray]:
    """|predicted − demonstrated|, (n, d) for each frame: n = H, or fewer where the episode ends before."""
    format = policy.preprocessor.format
    samples = [heldout.sample(int(frame)) for frame in frames]
    chunks = policy.infer(samples, noise)
    lengths = heldout.last_frame[frames] - frames + 1
    return [
        np.abs(chunk - format.robot_actions(format.absolute_actions(sample)))[:length]
        for chunk, sample, length in zip(chunks, samples, lengths, strict=True)
    ]
