"""Maps a dataset's keys to OpenPI's inputs, and a policy's actions back to the robot's.

Start from `Format.from_yaml(path)` (config/formats/<format>.yaml). `encode` comes before normalising, tokenising and
padding, `decode` after unnormalising; on actions they are inverses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from pisft.config.base import nearest
from pisft.config.format import ROT6D_DIMS, ROTATION_DIMS, FormatConfig, Source
from pisft.data.errors import DataError
from pisft.data.transforms import aloha
from pisft.data.transforms.rotation import from_rot6d, to_rot6d


class Format:
    """The maps that one `FormatConfig` declares. Arrays are float32 with any leading dims."""

    def __init__(self, config: FormatConfig):
        self.config = config
        self.relative_dims = _relative_dims(config.delta_mask)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read `config/formats/<format>.yaml`; raises `ConfigError`."""
        return cls(FormatConfig.from_yaml(path))

    @property
    def action_horizon(self) -> int:
        """H, the number of actions in a chunk."""
        return self.config.action_horizon

    @property
    def vector_keys(self) -> list[str]:
        """The dataset keys that state and actions are made of, each once."""
        return list(dict.fromkeys(source.key for source in [*self.config.state, *self.config.actions]))

    def state_names(self, features: Mapping[str, Any]) -> list[str]:
        """Return a name for each dim of the encoded state, from this format's `features` or the dataset's info.json."""
        return self._names(self.config.state, features)

    def action_names(self, features: Mapping[str, Any]) -> list[str]:
        """Return a name for each dim of an encoded action."""
        return self._names(self.config.actions, features)

    def robot_names(self, features: Mapping[str, Any]) -> list[str]:
        """Return a name for each dim of a robot action, as the dataset stores it: without rot6d and padding."""
        names = []
        for source in self.config.actions:
            own = self._own_names(source, features)
            names += own[slice(*source.dims)] if source.dims else own
        return names

    def real_dims(self, width: int) -> int:
        """Return how many of the `width` dims of an encoded action are not `pad_to`'s zeros."""
        real = None if self.config.pad_to is None else self.config.width(self.config.actions)
        return width if real is None else real

    def state(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the encoded state: its sources concatenated, (..., state dims)."""
        state = self._concatenated(self.config.state, vectors, "state")
        return self._padded(aloha.encode_state(state) if self.config.adapt_to_pi else state, "state")

    def absolute_actions(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the action sources concatenated and encoded, except for the delta mask, (..., action dims)."""
        actions = self._concatenated(self.config.actions, vectors, "actions")
        return self._padded(aloha.encode_actions(actions) if self.config.adapt_to_pi else actions, "actions")

    def robot_actions(self, actions: np.ndarray) -> np.ndarray:
        """Invert `absolute_actions`: the sources concatenated as the dataset stores them."""
        actions = actions[..., : self.real_dims(actions.shape[-1])]
        if self.config.adapt_to_pi:
            actions = aloha.decode_actions(actions)
        if not any(source.rotation for source in self.config.actions):
            return actions
        ends = np.cumsum(self._widths(actions.shape[-1]))[:-1]
        parts = zip(self.config.actions, np.split(actions, ends, axis=-1), strict=True)
        return np.concatenate([from_rot6d(x, s.rotation) if s.rotation else x for s, x in parts], axis=-1)

    def to_relative(self, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Subtract the first states (..., S) of the chunks (..., H, A) in the masked dims."""
        return self._shifted(actions, state, -1)

    def to_absolute(self, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Invert `to_relative`."""
        return self._shifted(actions, state, +1)

    def encode(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Return a sample in the dataset's own keys as {images, state, prompt}, with actions if it has any.

        images: slot → uint8 (H, W, 3); state (S,); actions (H, A), relative where the delta mask says so. Each camera
        of the format must be present.
        """
        state = self.state(sample)
        encoded = {
            "images": {slot: _get(sample, key, slot) for slot, key in self.config.cameras.items()},
            "state": state,
            "prompt": self.prompt(sample.get("task")),
        }
        if any(source.key in sample for source in self.config.actions):
            encoded["actions"] = self.to_relative(self.absolute_actions(sample), state)
        return encoded

    def decode(self, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Convert encoded, unnormalised actions (..., H, A) to robot actions; `state` (..., S) is encoded."""
        return self.robot_actions(self.to_absolute(actions, state))

    def prompt(self, task: str | None) -> str:
        """Return the cleaned instruction of a frame with `task`; raises `DataError` if there is none."""
        prompt = self.config.prompt
        text = clean_prompt((task or "") if prompt.from_task else "") or clean_prompt(prompt.default or "")
        if not text:
            raise DataError("prompt: the frame has no task and the format no prompt.default; give one of them")
        return text

    def _concatenated(self, sources: list[Source], vectors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        parts = []
        for source in sources:
            vector = np.asarray(_get(vectors, source.key, name), dtype=np.float32)
            width = vector.shape[-1]
            feature = self.config.features.get(source.key)
            if feature and feature.shape[0] != width:
                raise DataError(
                    f"{name}: '{source.key}' has {width} dims; the format's features say {feature.shape[0]}"
                )
            first, end = source.dims or (0, width)
            if end > width:
                raise DataError(f"{name}: dims [{first}, {end}] of '{source.key}', which has {width}")
            if source.rotation and end - first != ROTATION_DIMS[source.rotation]:
                raise DataError(
                    f"{name}: '{source.key}' has {end - first} dims; {source.rotation} has "
                    f"{ROTATION_DIMS[source.rotation]}: choose them with dims"
                )
            part = vector[..., first:end]
            parts.append(to_rot6d(part, source.rotation) if source.rotation else part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def _padded(self, x: np.ndarray, name: str) -> np.ndarray:
        width = self.config.pad_to
        if width is None:
            return x
        if x.shape[-1] > width:
            raise DataError(f"{name}: has {x.shape[-1]} dims; pad_to is {width}")
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, width - x.shape[-1])])

    def _widths(self, total: int) -> list[int]:
        """Return the encoded dims of each action source, given the total."""
        known = self.config.widths(self.config.actions)
        if known.count(None) > 1:
            unknown = self.config.actions[known.index(None)].key
            raise DataError(
                f"actions: how many dims '{unknown}' has is not known: give its shape in the format's features"
            )
        return [total - sum(filter(None, known)) if width is None else width for width in known]

    def _names(self, sources: list[Source], features: Mapping[str, Any]) -> list[str]:
        names = []
        for source in sources:
            own = self._own_names(source, features)
            own = own[slice(*source.dims)] if source.dims else own
            names += [f"{source.key}.rot6d_{i}" for i in range(ROT6D_DIMS)] if source.rotation else own
        padding = (self.config.pad_to or len(names)) - len(names)
        return names + [f"padding_{i}" for i in range(padding)]

    def _own_names(self, source: Source, features: Mapping[str, Any]) -> list[str]:
        declared = self.config.features.get(source.key)
        feature = _get(features, source.key, "format") if declared is None else declared.model_dump()
        return feature_names(source.key, feature)

    def _shifted(self, actions: np.ndarray, state: np.ndarray, sign: int) -> np.ndarray:
        dims = self.relative_dims
        if not dims:
            return actions
        if max(dims) >= min(actions.shape[-1], state.shape[-1]):
            raise DataError(
                f"delta_mask {self.config.delta_mask} makes dim {max(dims)} relative, but there are only "
                f"{actions.shape[-1]} action and {state.shape[-1]} state dims"
            )
        shifted = np.array(actions, dtype=np.float32)
        shifted[..., dims] += sign * state[..., None, dims]
        return shifted


def feature_names(key: str, feature: Mapping[str, Any]) -> list[str]:
    """Return a name for each dim of a vector feature of info.json, generated if it has none."""
    shape, names = [int(size) for size in feature["shape"]], given_names(feature)
    if names and len(names) > 1:
        return names
    return [key] if math.prod(shape) == 1 else [f"{key}{list(place)}" for place in np.ndindex(*shape)]


def given_names(feature: Mapping[str, Any]) -> list[str] | None:
    """Return info.json's `names` of a vector if it has one a dim, else None.

    They may be a list, nested lists, a mapping of names to indices, or of groups to lists or mappings of names.
    """
    names = feature.get("names")
    if isinstance(names, Mapping) and names and all(type(place) is int for place in names.values()):
        names = sorted(names, key=names.__getitem__)
    else:
        names = _flat(names)
    if isinstance(names, list) and len(names) == math.prod(map(int, feature["shape"])):
        return [str(name) for name in names]
    return None


def _flat(names: Any) -> list[Any] | None:
    if isinstance(names, Mapping):
        if all(part is None for part in names.values()):
            return list(names)
        names = list(names.values())
    if not isinstance(names, list):
        return None
    flat: list[Any] = []
    for name in names:
        flat += [name] if isinstance(name, str) else _flat(name) or []
    return flat


def clean_prompt(text: str) -> str:
    """Clean as openpi does: strip, then replace `_` and newlines by spaces."""
    return text.strip().replace("_", " ").replace("\n", " ")


def _relative_dims(mask: list[int]) -> list[int]:
    """Return the dims that openpi's notation makes relative: (6, -1) is 0 to 5."""
    dims: list[int] = []
    position = 0
    for count in mask:
        if count > 0:
            dims += range(position, position + count)
        position += abs(count)
    return dims


def _get(mapping: Mapping[str, Any], key: str, name: str) -> Any:
    if key not in mapping:
        raise DataError(f"{name}: there is no key '{key}'; {nearest(key, list(mapping))}")
    return mapping[key]
