"""What a policy gives has to be numbers: start from `finite`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pisft.errors import PisftError


class PolicyError(PisftError):
    """A policy that gives no numbers."""


def finite(values: np.ndarray, told: Callable[..., str]) -> np.ndarray:
    """`values` as they are. The first that is NaN or infinite is a `PolicyError`; `told` names the one at an index,
    which it is given dim by dim."""
    if not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise PolicyError(
            f"{told(*index)} is {values[index]}; expected finite numbers. The weights or the norm_stats are broken: "
            "see the training's loss and the statistics' health"
        )
    return values
