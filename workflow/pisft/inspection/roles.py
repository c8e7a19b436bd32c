"""Decides which features are cameras, state and actions, by their keys alone: start from `assign(features)`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pisft.data.errors import DataError

# Common names of a camera that looks at the scene, most certain first.
EXTERIOR = (
    *("base", "exterior", "external", "third", "agentview", "agent", "front", "top", "high", "overhead", "head"),
    *("static", "scene", "main", "center", "side", "low", "rgb", "image"),
)
WRIST = ("wrist", "gripper", "hand")
NO_COLOUR = ("depth", "segmentation", "seg", "mask", "flow", "infrared")
ACTIONS = ("action", "actions")
STATES = ("observation.state", "state", "observation.states", "states", "robot_state", "proprio", "qpos")
BODY = frozenset({"joint", "joints", "gripper", "ee", "eef", "tcp", "pose", "proprio", "qpos", "cartesian", "finger"})
RATES = frozenset(
    {"velocity", "velocities", "vel", "effort", "torque", "torques", "force", "forces", "current", "qvel"}
)
JOINTS = frozenset({"joint", "joints", "qpos"})
CARTESIAN = frozenset({"cartesian", "ee", "eef", "tcp", "end"})
NO_STATE = frozenset({"environment", "env", "reward", "done", "success", "next", "truncated", "timestamp", "discount"})
TABLE = 64  # most numbers in a table such as (arms, joints) that can be a state or an action
BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")


@dataclass
class Roles:
    """The proposed roles: OpenPI slot → (key, why), the keys of state and actions, and why the others are left out.

    `colour` are the cameras that could have a slot.
    """

    colour: list[str] = field(default_factory=list)
    cameras: dict[str, tuple[str, str]] = field(default_factory=dict)
    state: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def assign(features: Mapping[str, Any], where: str) -> Roles:
    """Return the roles of the `features` of the info.json at `where`; raises `DataError` without a state or actions."""
    roles = Roles()
    _cameras(features, roles)
    vectors = [key for key, feature in features.items() if _is_vector(key, feature)]
    for role, choose in (("actions", _actions), ("state", _state)):
        chosen = choose(vectors, roles)
        if not chosen:
            raise DataError(
                f"{where}: features: none looks like {role}; expected "
                f"{'action or action.*' if role == 'actions' else 'observation.state or state.*'}; found the vectors "
                f"{', '.join(vectors) or 'none'}: name them in a format by hand (config/formats/pi0_custom.yaml)"
            )
        setattr(roles, role, chosen)
    for key in vectors:
        if key not in [*roles.state, *roles.actions]:
            roles.left_out.setdefault(key, "neither state nor actions by its name")
    return roles


def is_camera(feature: Mapping[str, Any]) -> bool:
    """Whether it holds images, stored as images or as video."""
    return feature["dtype"] in ("image", "video")


def image_shape(feature: Mapping[str, Any]) -> list[int]:
    """Return [height, width, channels] of a camera, whatever their order in info.json."""
    shape = [int(size) for size in feature["shape"]]
    channels_first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
    return [*shape[1:], shape[0]] if channels_first else shape


def words(key: str) -> list[str]:
    """Split a key or name into lower-case words: `observation.images.camHigh_2` is observation, images, cam, high."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", key)]


def stem(key: str) -> str:
    """Return what a part is of, without its role: ee_pos for `state.ee_pos` and `action.delta_ee_pos`."""
    role = {"observation", "observations", "state", "states", "action", "actions", "delta", "rel", "relative"}
    return "_".join(word for word in words(key) if word not in role)


def _cameras(features: Mapping[str, Any], roles: Roles) -> None:
    for key, feature in features.items():
        if is_camera(feature):
            info = feature.get("info") or feature.get("video_info") or {}
            depth = info.get("is_depth_map") or info.get("video.is_depth_map")
            odd = "depth" if depth else next((word for word in NO_COLOUR if word in words(key)), None)
            channels = image_shape(feature)[-1]
            if odd or channels != 3:
                roles.left_out[key] = f"no colour image ({odd or f'{channels} channels'}), which the model cannot see"
            else:
                roles.colour.append(key)
    wrists = [key for key in roles.colour if _wrist(key)]
    sided = [key for key in wrists if _side(key)]
    for key in [*sided, *(key for key in wrists if key not in sided)]:
        wanted = [f"{side}_wrist_0_rgb" for side in ([_side(key)] if _side(key) else ["left", "right"])]
        why = f"'{_wrist(key)}'{f' and {_side(key)!r}' if _side(key) else ''} in its name"
        _place(roles, key, wanted, why)
    others = sorted((key for key in roles.colour if key not in wrists), key=_exterior)
    for key in others:
        rank = _exterior(key)
        known = rank < len(EXTERIOR)
        _place(
            roles, key, ["base_0_rgb"], f"'{EXTERIOR[rank]}' in its name" if known else "by no word in its name: look"
        )
    order = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
    roles.cameras = {slot: roles.cameras[slot] for slot in order if slot in roles.cameras}


def _place(roles: Roles, key: str, slots: list[str], why: str) -> None:
    free = next((slot for slot in slots if slot not in roles.cameras), None)
    if free:
        roles.cameras[free] = (key, why)
    else:
        roles.left_out[key] = (
            f"{slots[-1]} is taken by {roles.cameras[slots[-1]][0]}; put it into any slot that is free"
        )


def _wrist(key: str) -> str | None:
    own = words(key)
    return next((word for word in WRIST if any(w == word or (word != "hand" and word in w) for w in own)), None)


def _side(key: str) -> str | None:
    return next((side for side in ("left", "right") if any(w in (side, side[0]) for w in words(key))), None)


def _exterior(key: str) -> int:
    own = words(key)
    return min((rank for rank, word in enumerate(EXTERIOR) if word in own), default=len(EXTERIOR))


def _is_vector(key: str, feature: Mapping[str, Any]) -> bool:
    numbers = str(feature["dtype"]).startswith(("float", "int", "uint"))
    shape = [int(size) for size in feature["shape"]]
    return numbers and (len(shape) == 1 or math.prod(shape) <= TABLE) and key not in BOOKKEEPING


def _actions(vectors: list[str], roles: Roles) -> list[str]:
    named = [key for key in vectors if words(key) and words(key)[0] in ACTIONS]
    named = named or [key for key in vectors if set(ACTIONS) & set(words(key))][:1]
    for key in named:
        if key in ACTIONS:
            roles.left_out |= {other: f"actions are taken from {key}" for other in named if other != key}
            return [key]
    twins = {stem(key) for key in named if "delta" in words(key)}
    kept = []
    for key in named:
        if stem(key) in twins and "delta" not in words(key):
            roles.left_out[key] = "the same is there as delta"
        else:
            kept.append(key)
    return _one_kind(kept, roles)


def _state(vectors: list[str], roles: Roles) -> list[str]:
    mine = [key for key in vectors if key not in roles.actions and not set(words(key)) & {*NO_STATE, *ACTIONS}]
    if whole := next((key for key in STATES if key in mine), None):
        roles.left_out |= {
            key: f"the state is taken from {whole}; could be added to it" for key in mine if key != whole
        }
        return [whole]
    parts = [key for key in mine if words(key)[:1] == ["state"] or words(key)[:2] == ["observation", "state"]]
    parts = parts or [key for key in mine if words(key)[:1] in (["observation"], ["observations"])]
    parts = parts or [key for key in mine if set(words(key)) & BODY]
    order = [stem(key) for key in roles.actions]
    parts = _one_kind(parts, roles)
    return sorted(parts, key=lambda key: order.index(stem(key)) if stem(key) in order else len(order))


def _one_kind(keys: list[str], roles: Roles) -> list[str]:
    """Prefer positions to rates, and joints to the hand's pose, if both exist."""
    kept = keys
    for unwanted, wanted, why in (
        (RATES, None, "a velocity or force; positions are taken"),
        (CARTESIAN, JOINTS, "the joints say the same"),
    ):
        out = [key for key in kept if set(words(key)) & unwanted and not (wanted and set(words(key)) & wanted)]
        rest = [key for key in kept if key not in out]
        if out and (any(set(words(key)) & wanted for key in rest) if wanted else rest):
            roles.left_out |= dict.fromkeys(out, why)
            kept = rest
    return kept
