"""openpi's two normalisations and their exact inverses: `normalise` and `unnormalise`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

EPS = 1e-6

Method = Literal["zscore", "quantile"]


@dataclass(frozen=True)
class Stats:
    """Statistics of one vector, each float64 (d,), in the vector's own units."""

    mean: np.ndarray
    std: np.ndarray
    q01: np.ndarray
    q99: np.ndarray


@dataclass(frozen=True)
class NormStats:
    """The content of openpi's norm_stats.json."""

    state: Stats
    actions: Stats


def normalise(x: np.ndarray, stats: Stats, method: Method) -> np.ndarray:
    """Normalise by z-score, (x − mean)/(std + 1e-6), or quantile, (x − q01)/(q99 − q01 + 1e-6)·2 − 1, not clipped.

    x (..., D) → float32 (..., D). Dims beyond those of the statistics pass through.
    """
    scale, shift = _affine(stats, method, x.shape[-1])
    return ((x - shift) / scale).astype(np.float32)


def unnormalise(x: np.ndarray, stats: Stats, method: Method) -> np.ndarray:
    """Invert `normalise`."""
    scale, shift = _affine(stats, method, x.shape[-1])
    return (x * scale + shift).astype(np.float32)


def _affine(stats: Stats, method: Method, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (scale, shift), each float64 (width,), so that normalised = (x − shift)/scale."""
    if method == "zscore":
        scale, shift = stats.std + EPS, stats.mean
    else:
        scale = (stats.q99 - stats.q01 + EPS) / 2
        shift = stats.q01 + scale  # −1 at q01
    surplus = max(0, width - len(scale))
    return np.pad(scale, (0, surplus), constant_values=1.0)[:width], np.pad(shift, (0, surplus))[:width]
