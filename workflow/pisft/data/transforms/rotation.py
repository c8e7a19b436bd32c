"""Converts rotations to six numbers that a network can learn, and back: `to_rot6d` and `from_rot6d`.

rot6d is the first two columns of the rotation matrix, concatenated; unlike angles and quaternions it is continuous
(Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", 2019).
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial.transform import Rotation as Matrices

from pisft.config.format import ROT6D_DIMS, Rotation
from pisft.data.errors import DataError


def to_rot6d(x: np.ndarray, kind: Rotation) -> np.ndarray:
    """Convert rotations (..., 3 or 4) of `kind` to float32 (..., 6). Angles in radians; rpy is about fixed x, y, z.

    Raises `DataError` for a quaternion of length 0.
    """
    flat = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
    if kind.startswith("quaternion") and not (flat**2).sum(-1).all():
        raise DataError(f"rotation: a quaternion of length 0 is none ({kind}); leave the episode out or fix it")
    match kind:
        case "rpy":
            rotations = Matrices.from_euler("xyz", flat)
        case "axis_angle":
            rotations = Matrices.from_rotvec(flat)
        case "quaternion_xyzw":
            rotations = Matrices.from_quat(flat)
        case "quaternion_wxyz":
            rotations = Matrices.from_quat(flat, scalar_first=True)
    columns = rotations.as_matrix()[:, :, :2].transpose(0, 2, 1)
    return columns.reshape(*x.shape[:-1], ROT6D_DIMS).astype(np.float32)


def from_rot6d(x: np.ndarray, kind: Rotation) -> np.ndarray:
    """Invert `to_rot6d`, float32 (..., 3 or 4); other input is projected to a rotation by Gram-Schmidt.

    The result is canonical: an axis-angle of at most π, pitch within ±π/2, a quaternion with w ≥ 0. Two columns that
    are parallel or zero give some rotation instead of NaN.
    """
    flat = np.asarray(x, np.float64).reshape(-1, ROT6D_DIMS)
    first = _unit(flat[:, :3], np.array([1.0, 0.0, 0.0]))
    second = flat[:, 3:] - (first * flat[:, 3:]).sum(-1, keepdims=True) * first
    # the axis with the smallest component in `first` is independent of it
    spare = np.eye(3)[np.abs(first).argmin(-1)]
    spare -= (first * spare).sum(-1, keepdims=True) * first
    second = _unit(second, _unit(spare, spare))
    rotations = Matrices.from_matrix(np.stack([first, second, np.cross(first, second)], -1))
    match kind:
        case "rpy":
            with warnings.catch_warnings():  # gimbal lock at pitch ±π/2: scipy warns and sets yaw to 0
                warnings.simplefilter("ignore", UserWarning)
                back = rotations.as_euler("xyz")
        case "axis_angle":
            back = rotations.as_rotvec()
        case "quaternion_xyzw":
            back = rotations.as_quat(canonical=True)
        case "quaternion_wxyz":
            back = rotations.as_quat(canonical=True, scalar_first=True)
    return back.reshape(*x.shape[:-1], back.shape[-1]).astype(np.float32)


def _unit(vectors: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(norm > 1e-12, vectors / np.maximum(norm, 1e-12), otherwise)
