"""Converts ALOHA's joints and grippers to π₀'s convention and back: `encode_state`, `encode_actions`, `decode_actions`.

Vectors are (..., 14): six joints (rad) and a gripper for each arm. In the convention of π₀'s training data some joints
have the opposite sign, and grippers are angles where ALOHA has an opening between 0 and 1; for states that opening is
linear in the distance of the fingers, for actions in the angle. Source: openpi's `aloha_policy.py`.
"""

from __future__ import annotations

import numpy as np

SIGNS = np.array([1, -1, -1, 1, 1, 1, 1] * 2, np.float32)
GRIPPERS = [6, 13]

FINGERS = (0.01844, 0.05800)  # distance of the fingers, m: closed, open
ARM, HORN = 0.036, 0.022  # lengths of the linkage that moves them, m
STATE_ANGLES = (0.5476, 1.6296)  # rad: π₀'s 0 and 1
ACTION_ANGLES = (-0.6213, 1.4910)  # rad: closed, open


def encode_state(state: np.ndarray) -> np.ndarray:
    """Convert robot states to π₀'s convention."""
    encoded = state * SIGNS
    distance = state[..., GRIPPERS] * (FINGERS[1] - FINGERS[0]) + FINGERS[0]
    sine = (HORN**2 + distance**2 - ARM**2) / (2 * HORN * distance)
    angle = np.arcsin(np.clip(sine, -1.0, 1.0))
    encoded[..., GRIPPERS] = (angle - STATE_ANGLES[0]) / (STATE_ANGLES[1] - STATE_ANGLES[0])
    return encoded


def encode_actions(actions: np.ndarray) -> np.ndarray:
    """Convert robot actions to π₀'s convention."""
    encoded = actions * SIGNS
    encoded[..., GRIPPERS] = _angle(actions[..., GRIPPERS]) - STATE_ANGLES[0]
    return encoded


def decode_actions(actions: np.ndarray) -> np.ndarray:
    """Invert `encode_actions`."""
    decoded = actions * SIGNS
    angle = actions[..., GRIPPERS] + STATE_ANGLES[0]
    decoded[..., GRIPPERS] = (angle - ACTION_ANGLES[0]) / (ACTION_ANGLES[1] - ACTION_ANGLES[0])
    return decoded


def _angle(opening: np.ndarray) -> np.ndarray:
    return opening * (ACTION_ANGLES[1] - ACTION_ANGLES[0]) + ACTION_ANGLES[0]
