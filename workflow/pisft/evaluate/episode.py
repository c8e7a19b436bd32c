"""What came of one rollout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Episode:
    """`completed` counts the tasks of a chain (1 or 0 where there is one); `actions` (steps, d) were executed."""

    task: str
    seed: int
    success: bool
    completed: int
    steps: int
    actions: np.ndarray
