"""Finds what a step with a non-finite loss or gradient was trained on. Start from `nonfinite`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pisft.train.errors import TrainingError
from pisft.train.step.corpus import Corpus

SHOWN = 5


def nonfinite(corpus: Corpus, indices: np.ndarray, step: int, history: list[float], folder: Path) -> TrainingError:
    """Build the error for step `step` (from 0) on frames `indices`; `history` is its loss, real-dims loss, norm, …."""
    loss, _, norm, *_ = history
    names = sorted({corpus.place(index).rpartition(" frame ")[0] for index in indices})
    return TrainingError(
        f"{folder}: step {step + 1}: the loss is {loss:.4g} and the gradient norm {norm:.4g}; expected finite "
        f"numbers. {_cause(corpus, indices)}. The batch was frames {', '.join(str(i) for i in indices)} of the "
        f"training set, from {', '.join(names)}. The update was skipped; the states saved before are intact"
    )


def _cause(corpus: Corpus, indices: np.ndarray) -> str:
    """Describe the non-finite inputs, or, if there are none, the largest input, and what to do."""
    observation, actions = corpus.training.batch(indices)
    found, largest = [], (0.0, "")
    for name, values in (("state", observation.state.numpy()[:, None]), ("actions", actions.numpy())):
        for row, dim in np.argwhere(~np.isfinite(values).all(axis=1)):
            found.append(f"{name} dim {dim} of {corpus.place(int(indices[row]))} ({_stats(corpus, name, int(dim))})")
        row, _, dim = np.unravel_index(np.abs(values).argmax(), values.shape)
        place = f"{name} dim {dim} of {corpus.place(int(indices[row]))} ({_stats(corpus, name, int(dim))})"
        largest = max(largest, (np.abs(values).max(), place))
    if not found:
        return (
            f"Its inputs are finite, the largest is {largest[0]:.4g}: {largest[1]}. Lower train.peak_lr, or widen "
            "that dim with norm_stats.min_std or min_range"
        )
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (
        f"Not finite after normalising: {'; '.join(found[:SHOWN])}{more}. Fix or leave out these episodes, or "
        "widen these dims with norm_stats.min_std or min_range"
    )


def _stats(corpus: Corpus, name: str, dim: int) -> str:
    """Format the norm stats of one dim for a message."""
    stats = getattr(corpus.training.preprocessor.stats, name)
    if dim >= len(stats.mean):
        return "padding"
    return ", ".join(f"{key} {getattr(stats, key)[dim]:.4g}" for key in ("mean", "std", "q01", "q99"))
