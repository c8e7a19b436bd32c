"""How a dataset's keys become OpenPI's inputs, and how a policy's actions become the robot's again.

Start from `Format.from_yaml(path)` (config/formats/<format>.yaml). `encode` comes before normalising,
tokenising and padding, `decode` after unnormalising; on actions they are inverses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from pisft.config.base import nearest
from pisft.config.format import FormatConfig, Source
from pisft.data.errors import DataError


class Format:
    """The maps that one `FormatConfig` declares. Arrays are float32; leading dims are free."""

    def __init__(self, config: FormatConfig):
        self.config = config
        self.relative_dims = _relative_dims(config.delta_mask)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read `config/formats/<format>.yaml`; raises `ConfigError`."""
        return cls(FormatConfig.from_yaml(path))

    @property
    def action_horizon(self) -> int:
        """H, the actions of one chunk."""
        return self.config.action_horizon

    @property
    def vector_keys(self) -> list[str]:
        """The dataset keys that state and actions are made of, each once."""
        return list(dict.fromkeys(source.key for source in [*self.config.state, *self.config.actions]))

    def state_dim(self, features: Mapping[str, Any]) -> int:
        """Width of the encoded state, given the `features` of a dataset's info.json."""
        return sum(_width(source, features) for source in self.config.state)

    def action_dim(self, features: Mapping[str, Any]) -> int:
        """Width of an encoded action, given the `features` of a dataset's info.json."""
        return sum(_width(source, features) for source in self.config.actions)

    def state(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The state sources side by side, (..., state_dim)."""
        return _concatenate(self.config.state, vectors, "state")

    def absolute_actions(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The action sources side by side as the dataset holds them, (..., action_dim)."""
        return _concatenate(self.config.actions, vectors, "actions")

    def to_relative(self, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Masked dims of the chunks (..., H, A) minus those of their first states (..., S)."""
        return self._shifted(actions, state, -1)

    def to_absolute(self, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Inverse of `to_relative`."""
        return self._shifted(actions, state, +1)

    def encode(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """A sample in the dataset's own keys as {images, state, prompt}, and actions where it has them.

        images: slot → uint8 (H, W, 3); state (S,); actions (H, A), relative where the delta mask says so.
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
        """Encoded, unnormalised actions (..., H, A) as robot actions; `state` (..., S) is the encoded one."""
        return self.to_absolute(actions, state)

    def prompt(self, task: str | None) -> str:
        """The cleaned instruction of a frame whose task is `task`; none at all is a `DataError`."""
        prompt = self.config.prompt
        text = clean_prompt((task or "") if prompt.from_task else "") or clean_prompt(prompt.default or "")
        if not text:
            raise DataError("prompt: the frame has no task and the format no prompt.default; give one of them")
        return text

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


def clean_prompt(text: str) -> str:
    """openpi's cleaning: stripped, `_` and newlines become spaces."""
    return text.strip().replace("_", " ").replace("\n", " ")


def _relative_dims(mask: list[int]) -> list[int]:
    """Dims that openpi's notation makes relative: (6, -1) is 0 to 5."""
    dims: list[int] = []
    position = 0
    for count in mask:
        if count > 0:
            dims += range(position, position + count)
        position += abs(count)
    return dims


def _width(source: Source, features: Mapping[str, Any]) -> int:
    if source.dims is not None:
        return source.dims[1] - source.dims[0]
    return int(_get(features, source.key, "format")["shape"][0])


def _concatenate(sources: list[Source], vectors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    parts = []
    for source in sources:
        vector = np.asarray(_get(vectors, source.key, name), dtype=np.float32)
        first, end = source.dims or (0, vector.shape[-1])
        if end > vector.shape[-1]:
            raise DataError(f"{name}: dims [{first}, {end}] of '{source.key}', which has {vector.shape[-1]}")
        parts.append(vector[..., first:end])
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def _get(mapping: Mapping[str, Any], key: str, name: str) -> Any:
    if key not in mapping:
        raise DataError(f"{name}: there is no key '{key}'; {nearest(key, list(mapping))}")
    return mapping[key]
