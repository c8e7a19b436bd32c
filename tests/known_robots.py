"""Small LeRobot datasets of robots whose truth is known, to see whether it is found: start from `aloha(path)`.

Motions are smooth and reach a target each, as demonstrations do. Commands of `aloha` are joint targets that the joints
follow late; those of `libero` and `calvin` are increments, which the hand obeys with a little slip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TASKS = ("pick up the cube", "open the drawer")
JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
ALOHA = [f"{side}_{joint}" for side in ("left", "right") for joint in JOINTS]
ALOHA_CAMERAS = tuple(f"observation.images.{name}" for name in ("cam_high", "cam_left_wrist", "cam_right_wrist"))
POSE = ["x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z"]


def write(
    path: Path,
    vectors: Mapping[str, Sequence[np.ndarray]],
    names: Mapping[str, Any],
    cameras: Sequence[str],
    fps: int,
    tasks: Sequence[str] = TASKS,
    size: tuple[int, int] = (32, 48),
    video: bool = False,
) -> Path:
    """Episodes with `vectors[key][episode]` (frames, d); `names[key]` stand in info.json as they are given."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    image = {"dtype": "video" if video else "image", "shape": (*size, 3), "names": ["height", "width", "channels"]}
    features = dict.fromkeys(cameras, image) | {
        key: {"dtype": "float32", "shape": (episodes[0].shape[1],), "names": names.get(key)}
        for key, episodes in vectors.items()
    }
    dataset = LeRobotDataset.create("tests/robot", fps, features, root=path, use_videos=video)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for episode in range(len(next(iter(vectors.values())))):
        for frame in range(len(next(iter(vectors.values()))[episode])):
            sample = {key: episodes[episode][frame].astype(np.float32) for key, episodes in vectors.items()}
            for place, camera in enumerate(cameras):
                bright = (rows * 3 + columns * 2 + frame * 4 + place * 60) % 256
                sample[camera] = np.stack([bright, 255 - bright, (bright + 85 * place) % 256], -1).astype(np.uint8)
            dataset.add_frame({**sample, "task": tasks[episode % len(tasks)]})
        dataset.save_episode()
    dataset.finalize()
    return path


def aloha(path: Path, named: bool = True, episodes: int = 4, frames: int = 70, **kwargs) -> Path:
    """Two arms of six joints and a gripper each, 50 Hz; absolute targets, the joints 60 ms behind."""
    rng = np.random.default_rng(7)
    states, actions = [], []
    for _ in range(episodes):
        command = np.stack([_reach(rng, frames) for _ in range(14)], 1)
        command[:, 6::7] = 1.6 * _behind(np.stack([_grip(rng, frames), _grip(rng, frames)], 1), 0.5)  # rad
        actions.append(command)
        states.append(_behind(command, 0.3) + rng.normal(0, 1e-3, command.shape))
    names = {"observation.state": ALOHA, "action": ALOHA} if named else {}
    arguments = {"names": names, "cameras": ALOHA_CAMERAS, "fps": 50} | kwargs
    return write(path, {"observation.state": states, "action": actions}, **arguments)


def libero(path: Path, named: bool = True, fingers: int = 2, **kwargs) -> Path:
    """A hand's increments and a gripper (7) beside its pose and two fingers (8), or one, 10 Hz."""
    rng = np.random.default_rng(8)
    states, actions = [], []
    for _ in range(6):
        pose, delta, grip = _increments(rng, 50)
        finger = 0.04 * _behind((1 - grip[:, None]) / 2, 0.5)
        states.append(np.concatenate([pose, finger, -finger][: 1 + fingers], 1))
        actions.append(np.concatenate([delta, grip[:, None]], 1))
    names = {
        "state": {"motors": [*POSE, "gripper_left", "gripper_right"]},
        "actions": {"motors": [*(f"delta_{name}" for name in POSE), "gripper"]},
    }
    arguments = {"names": names if named else {}, "cameras": ("image", "wrist_image"), "fps": 10} | kwargs
    return write(path, {"state": states, "actions": actions}, **arguments)


def calvin(path: Path, **kwargs) -> Path:
    """The same in parts, without names; and the same targets a second time, absolute."""
    rng = np.random.default_rng(9)
    parts: dict[str, list[np.ndarray]] = {}
    for _ in range(6):
        pose, delta, grip = _increments(rng, 50)
        for key, values in {
            "state.gripper": 0.08 * _behind((grip[:, None] + 1) / 2, 0.5),
            "state.ee_pos": pose[:, :3],
            "state.ee_rot": pose[:, 3:],
            "action.delta_ee_pos": delta[:, :3],
            "action.delta_ee_rot": delta[:, 3:],
            "action.gripper": grip[:, None],
            "action.ee_pos": pose[:, :3] + delta[:, :3],
        }.items():
            parts.setdefault(key, []).append(values)
    return write(path, parts, **({"names": {}, "cameras": ("video.image_base",), "fps": 10} | kwargs))


def _increments(rng: np.random.Generator, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pose (frames, 6), normalised increments (frames, 6) and a gripper of −1 and 1 (frames,)."""
    delta = np.stack([np.gradient(_reach(rng, frames)) for _ in range(6)], 1)
    delta /= np.abs(delta).max()
    moved = 0.02 * delta + rng.normal(0, 1e-4, delta.shape)
    start = rng.uniform(-0.3, 0.3, 6)
    pose = start + np.concatenate([np.zeros((1, 6)), moved[:-1].cumsum(0)])
    return pose, delta, np.where(_grip(rng, frames) > 0.5, 1.0, -1.0)


def _reach(rng: np.random.Generator, frames: int) -> np.ndarray:
    """From one random angle to another and on to a third, smoothly."""
    knots = rng.uniform(-1.2, 1.2, 4)
    phase = np.linspace(0, 3, frames)
    place = np.minimum(phase.astype(int), 2)
    inside = (1 - np.cos(np.pi * (phase - place))) / 2
    return knots[place] * (1 - inside) + knots[place + 1] * inside


def _grip(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Open (1), closed (0) for a while, open again."""
    close, open_ = rng.integers(frames // 5, frames // 3), rng.integers(2 * frames // 3, 4 * frames // 5)
    return np.where((np.arange(frames) >= close) & (np.arange(frames) < open_), 0.0, 1.0)


def _behind(command: np.ndarray, gain: float) -> np.ndarray:
    """What follows `command` (frames, d) at `gain` of the distance a frame."""
    out = np.empty_like(command)
    out[0] = command[0]
    for i in range(1, len(command)):
        out[i] = out[i - 1] + gain * (command[i - 1] - out[i - 1])
    return out
