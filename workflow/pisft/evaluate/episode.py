"""The outcome of one rollout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Episode:
    """One rollout; `completed` counts its tasks done (0 or 1, more in a chain); `actions` (steps, d) were executed."""

    task: str
    seed: int
    success: bool
    completed: int
    steps: int
    actions: np.ndarray
