"""Open loop: how well a policy predicts demonstrations, normally held-out ones. Start from `open_loop`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch

from pisft.data.loading.sampling import noise_and_time
from pisft.data.loading.training_set import TrainingSet
from pisft.evaluate.finite import finite
from pisft.evaluate.policy import Policy
from pisft.records.evaluation import ActionError, ByDim, EpisodeOfDataset, Errors, OpenLoop

SEED = 0
DRAWS = 8  # of noise and time for each frame
SAMPLES = 4  # chunks sampled for each frame; errors are those of the first
BATCH_SIZE = 32
TRACES = 3  # episodes whose recorded and predicted actions are plotted


def open_loop(
    policy: Policy, demonstrations: TrainingSet, episodes: Sequence[EpisodeOfDataset], held_out: bool = True
) -> tuple[OpenLoop, list[dict[str, Any]]]:
    """Return (the content for eval.json, traces) of `policy` on `episodes`, which are those of `demonstrations`.

    The content has the flow loss over the real dims; the mean absolute action error in robot units and normalised, each
    by dim, by step of the horizon and by task; and the spread (standard deviation) of several sampled chunks. Measured
    at every action_horizon-th frame of each episode, so that each action is predicted once. The traces have the
    recorded and the predicted actions of the first episodes, in robot units. Raises a `PolicyError` that names the
    frame if the policy's output is not finite.
    """
    preprocessor = demonstrations.preprocessor
    horizon = policy.noise_shape[0]
    names = preprocessor.format.robot_names(demonstrations.features)
    encoded = preprocessor.format.action_names(demonstrations.features)[: preprocessor.action_dims]
    ends = np.unique(demonstrations.last_frame)
    starts = np.r_[0, ends[:-1] + 1]  # first frame of each episode
    frames = np.concatenate([np.arange(a, b + 1, horizon) for a, b in zip(starts, ends, strict=True)])

    def told(frame: int) -> str:
        number = int(np.searchsorted(ends, frame))
        return f"{episodes[number].dataset}, episode {episodes[number].episode}, frame {frame - starts[number]}"

    losses, parts = [], []
    for places in np.split(np.arange(len(frames)), range(BATCH_SIZE, len(frames), BATCH_SIZE)):
        draws, times = noise_and_time(SEED, 0, places, DRAWS, *policy.noise_shape)
        part = _predictions(policy, demonstrations, frames[places], draws[:, :SAMPLES])
        loss = _flow_losses(policy, demonstrations, frames[places], draws, times)
        _check(part, loss, [told(frame) for frame in frames[places]], names, encoded)
        parts.append(part)
        losses.append(loss)
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    inside = np.arange(horizon) < (demonstrations.last_frame[frames] - frames + 1)[:, None]  # (frames, H)
    tasks = np.array([demonstrations.task(frame) for frame in frames])
    content = OpenLoop(
        held_out=held_out,
        episodes=list(episodes),
        frames=len(frames),
        flow_loss=float(np.concatenate(losses).mean(dtype=np.float64)),
        action_error=ActionError(
            robot=_means(np.abs(found["predicted"][:, 0] - found["recorded"]), inside, names, tasks),
            normalised=_means(np.abs(found["sampled"] - found["demonstrated"]), inside, encoded, tasks),
        ),
        action_spread=ByDim(**_by_dim(found["predicted"].std(axis=1, dtype=np.float64)[inside], names)),
    )
    return content, _traces(found, frames, starts, ends, names, tasks)


def _flow_losses(
    policy: Policy, demonstrations: TrainingSet, frames: np.ndarray, draws: np.ndarray, times: np.ndarray
) -> np.ndarray:
    observation, actions = demonstrations.batch(frames)
    loss = policy.sampler.flow_loss(observation, actions, torch.from_numpy(draws), torch.from_numpy(times))
    return loss[..., : policy.preprocessor.action_dims].mean(dim=(1, 2, 3)).cpu().numpy()


def _predictions(
    policy: Policy, demonstrations: TrainingSet, frames: np.ndarray, noise: np.ndarray
) -> dict[str, np.ndarray]:
    """Predict chunks for `frames` from `noise` (B, K, H, A).

    Returns robot actions, `predicted` (B, K, H, d) and `recorded` (B, H, d), and normalised ones without padding,
    `sampled`, the first of K, and `demonstrated` (B, H, D).
    """
    preprocessor, fmt = demonstrations.preprocessor, demonstrations.preprocessor.format
    samples = [demonstrations.sample(int(frame)) for frame in frames]
    items = [preprocessor.item(sample) for sample in samples]
    chunks = np.stack([policy.sample(items, np.ascontiguousarray(draw)) for draw in noise.swapaxes(0, 1)], axis=1)
    states = [item.encoded_state for item in items]
    real = preprocessor.action_dims
    return {
        "predicted": np.stack(
            [preprocessor.actions(chunk, state) for chunk, state in zip(chunks, states, strict=True)]
        ),
        "recorded": np.stack([fmt.robot_actions(fmt.absolute_actions(sample)) for sample in samples]),
        "sampled": chunks[:, 0, :, :real],
        "demonstrated": np.stack([cast(np.ndarray, item.actions) for item in items])[..., :real],
    }


def _check(
    part: dict[str, np.ndarray], losses: np.ndarray, told: list[str], names: list[str], encoded: list[str]
) -> None:
    """Raise `PolicyError` if a prediction or loss is not finite; `told` describes the frames."""
    finite(part["predicted"], lambda i, _draw, _step, dim: f"{told[i]}: the predicted action's {names[dim]}")
    finite(part["sampled"], lambda i, _step, dim: f"{told[i]}: the sampled action's {encoded[dim]}")
    finite(losses, lambda i: f"{told[i]}: the flow loss")


def _means(errors: np.ndarray, inside: np.ndarray, names: list[str], tasks: np.ndarray) -> Errors:
    """Average `errors` (frames, H, d) at the steps that are `inside` their episodes."""
    steps = errors.mean(axis=2, dtype=np.float64)
    return Errors(
        **_by_dim(errors[inside], names),
        per_step=[float(steps[inside[:, h], h].mean()) for h in range(steps.shape[1]) if inside[:, h].any()],
        per_task={
            str(task): float(errors[tasks == task][inside[tasks == task]].mean(dtype=np.float64))
            for task in np.unique(tasks)
        },
    )


def _by_dim(values: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return the mean over all, and of each column, of `values` (n, d)."""
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
    """Return recorded and predicted actions (n, d) of the first episodes, concatenated over chunks."""
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
