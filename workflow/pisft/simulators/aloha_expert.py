"""A scripted expert that hands a cube from the right arm to the left one: start from `plan`. Runs in envs/aloha.

Each hand passes through waypoints, whose joint angles are found by dm-control's inverse kinematics; between two of them
the joints are interpolated with easing at both ends.
"""
# What it imports is installed in envs/aloha alone.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from dm_control.utils.inverse_kinematics import qpos_from_site_pose
from gym_aloha.tasks.sim import BimanualViperXTask

MEETING = np.array([0.0, 0.5, 0.3])  # m, where the cube changes hands
LYING = 0.01  # m, height at which it is grasped; its centre is at 0.02
UP = np.array([0, 0, 0.1])
INWARDS = {"left": np.array([0.12, 0, 0]), "right": np.array([-0.12, 0, 0])}
FACING = {"left": np.array([1.0, 0, 0, 0]), "right": np.array([0, 0, 0, 1.0])}  # (w, x, y, z), facing the other arm
JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")


class Waypoint(NamedTuple):
    """The point between a hand's fingers at a step: position (m), tilt downwards, roll (degrees), gripper."""

    step: int
    position: np.ndarray
    tilt: float
    roll: float
    gripper: float  # 0 closed, 1 open


def plan(physics, box: np.ndarray) -> np.ndarray:
    """Return actions float32 (T, 14) that hand over a cube at `box` (x, y, z, …); `physics` is modified."""
    start = BimanualViperXTask.get_qpos(physics)
    arms = {"left": (_left(), start[:7]), "right": (_right(box[:3]), start[7:])}
    found = [_path(physics, side, waypoints, first) for side, (waypoints, first) in arms.items()]
    return np.concatenate(found, 1).astype(np.float32)


def _right(box: np.ndarray) -> list[Waypoint]:
    grasp = np.array([*box[:2], LYING])
    above, aside = grasp + UP, MEETING - INWARDS["right"]
    return [
        Waypoint(60, above, 60, 0, 1),
        Waypoint(90, grasp, 60, 0, 1),
        Waypoint(110, grasp, 60, 0, 0),
        Waypoint(180, MEETING, 10, 0, 0),
        Waypoint(235, MEETING, 10, 0, 0),
        Waypoint(250, MEETING, 10, 0, 1),
        Waypoint(300, aside, 10, 0, 1),
    ]


def _left() -> list[Waypoint]:
    """Return the left arm's waypoints, slow enough that it keeps moving until the cube arrives.

    While it waited, nothing in an observation would tell how long to wait.
    """
    before = MEETING - INWARDS["left"]
    return [
        Waypoint(180, before, 0, 90, 1),
        Waypoint(210, MEETING, 0, 90, 1),
        Waypoint(235, MEETING, 0, 90, 0),
        Waypoint(250, MEETING, 0, 90, 0),
        Waypoint(300, before, 0, 90, 0),
    ]


def _path(physics, side: str, waypoints: list[Waypoint], start: np.ndarray) -> np.ndarray:
    """Return one arm's actions (T, 7), starting from the joints `start`."""
    steps, joints = [0], [start]
    for waypoint in waypoints:
        tilt, roll = np.radians([waypoint.tilt, waypoint.roll]) / 2
        turn = _product(np.array([np.cos(tilt), 0, np.sin(tilt), 0]), np.array([np.cos(roll), np.sin(roll), 0, 0]))
        solved = qpos_from_site_pose(
            physics,
            f"cali_{side}_site1",
            waypoint.position,
            _product(FACING[side], turn),
            [f"vx300s_{side}/{joint}" for joint in JOINTS],
            inplace=True,  # so that the search for the next waypoint starts from this one
        )
        first = 0 if side == "left" else 8
        steps.append(waypoint.step)
        joints.append(np.r_[solved.qpos[first : first + 6], waypoint.gripper])
    now = np.arange(1, waypoints[-1].step + 1)
    after = np.searchsorted(steps, now)
    t = (now - np.take(steps, after - 1)) / (np.take(steps, after) - np.take(steps, after - 1))
    eased = (3 * t**2 - 2 * t**3)[:, None]
    joints = np.asarray(joints)
    return joints[after - 1] * (1 - eased) + joints[after] * eased


def _product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the product of two quaternions (w, x, y, z)."""
    w, v = p[0] * q[0] - p[1:] @ q[1:], p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:])
    return np.r_[w, v]
