"""Checks that a policy's outputs are finite: start from `finite`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pisft.errors import PisftError


class PolicyError(PisftError):
    """A policy returned values that are not finite."""


def finite(values: np.ndarray, told: Callable[..., str]) -> np.ndarray:
    """Return `values` unchanged; raises `PolicyError` for the first NaN or infinity, described by `told(*index)`."""
    if not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise PolicyError(
            f"{told(*index)} is {values[index]}; expected finite numbers. The weights or the norm_stats are broken: "
            "see the training's loss and the statistics' health"
        )
    return values
