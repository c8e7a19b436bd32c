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
SAMPLES = 4  # chunks that are drawn for a frame; errors are those of the first
BATCH_SIZE = 32
TRACES = 3  # episodes whose actions are drawn beside the predicted ones


def open_loop(policy: Policy, heldout: TrainingSet) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(what eval.json tells, traces) of a policy on held-out episodes.

    The first has the flow loss over the real dims; the mean absolute action error in robot units and normalised, each
    by dim, by step of the horizon and by task; and the spread (standard deviation) of several sampled chunks. Taken at
    every action_horizon-th frame of each episode, so that each action is predicted once. The second has the recorded
    and the predicted actions of the first episodes, in robot units.
    """
    horizon = policy.noise_shape[0]
    ends = np.unique(heldout.last_frame)
    starts = np.r_[0, ends[:-1] + 1]  # of the episodes
    frames = np.concatenate([np.arange(a, b + 1, horizon) for a, b in zip(starts, ends, strict=True)])
    losses, parts = [], []
    for places in np.split(np.arange(len(frames)), range(BATCH_SIZE, len(frames), BATCH_SIZE)):
        draws, times = noise_and_time(SEED, 0, places, DRAWS, *policy.noise_shape)
        losses.append(_flow_losses(policy, heldout, frames[places], draws, times))
        parts.append(_predictions(policy, heldout, frames[places], draws[:, :SAMPLES]))
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    preprocessor = heldout.preprocessor
    inside = np.arange(horizon) < (heldout.last_frame[frames] - frames + 1)[:, None]  # (frames, H)
    tasks = np.array([heldout.task(frame) for frame in frames])
    names = preprocessor.format.robot_names(heldout.features)
    encoded = preprocessor.format.action_names(heldout.features)[: preprocessor.action_dims]
    content = {
        "frames": len(frames),
        "flow_loss": float(np.concatenate(losses).mean(dtype=np.float64)),
        "action_error": {
            "robot": _means(np.abs(found["predicted"][:, 0] - found["recorded"]), inside, names, tasks),
            "normalised": _means(np.abs(found["sampled"] - found["demonstrated"]), inside, encoded, tasks),
        },
        "action_spread": _by_dim(found["predicted"].std(axis=1, dtype=np.float64)[inside], names),
    }
    return content, _traces(found, frames, starts, ends, names, tasks)


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


def _predictions(policy: Policy, heldout: TrainingSet, frames: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    """`predicted` (B, K, H, d) and `recorded` (B, H, d) robot actions; `sampled`, the first of K, and `demonstrated`
    (B, H, D) as the model sees them, without padding. `noise` is (B, K, H, A)."""
    preprocessor, format = heldout.preprocessor, heldout.preprocessor.format
    samples = [heldout.sample(int(frame)) for frame in frames]
    items = [preprocessor.item(sample) for sample in samples]
    chunks = np.stack([policy.sample(items, np.ascontiguousarray(draw)) for draw in noise.swapaxes(0, 1)], axis=1)
    states = [item.encoded_state for item in items]
    real = preprocessor.action_dims
    return {
        "predicted": np.stack(
            [preprocessor.actions(chunk, state) for chunk, state in zip(chunks, states, strict=True)]
        ),
        "recorded": np.stack([format.robot_actions(format.absolute_actions(sample)) for sample in samples]),
        "sampled": chunks[:, 0, :, :real],
        "demonstrated": np.stack([item.actions for item in items])[..., :real],
    }


def _means(errors: np.ndarray, inside: np.ndarray, names: list[str], tasks: np.ndarray) -> dict[str, Any]:
    """Of `errors` (frames, H, d) at the steps that are `inside` their episodes."""
    steps = errors.mean(axis=2, dtype=np.float64)
    return _by_dim(errors[inside], names) | {
        "per_step": [float(steps[inside[:, h], h].mean()) for h in range(steps.shape[1]) if inside[:, h].any()],
        "per_task": {
            str(task): float(errors[tasks == task][inside[tasks == task]].mean(dtype=np.float64))
            for task in np.unique(tasks)
        },
    }


def _by_dim(values: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Mean over all, and of each column of `values` (n, d)."""
    columns = values.mean(axis=0, dtype=np.float64).tolist()
    return {"mean": float(np.mean(columns)), "per_dim": dict(zip(names, columns, strict=True))}


def _traces(
    found: dict[str, np.ndarray],
    frames: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    names: list[str],
    tasks: np.ndarray,
) -> list[dict[str, Any]]:
    """Recorded and predicted actions (n, d) of the first episodes, chunk after chunk."""
    traces = []
    for start, end in list(zip(starts, ends, strict=True))[:TRACES]:
        mine = np.flatnonzero((frames >= start) & (frames <= end))
        length = int(end - start + 1)
        recorded, predicted = (
            np.concatenate(part)[:length].astype(float).round(6).tolist()
            for part in (found["recorded"][mine], found["predicted"][mine, 0])
        )
        traces.append({"task": str(tasks[mine[0]]), "dims": names, "recorded": recorded, "predicted": predicted})
    return traces
