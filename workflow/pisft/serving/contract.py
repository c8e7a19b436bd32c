"""Declares the inputs and outputs of a served policy, and checks a client's observations. Start from `Contract`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pisft.data.errors import DataError
from pisft.data.loading.preprocess import Item
from pisft.evaluate.policy import Policy

LARGEST_SIDE = 4096  # pixels of an image
LONGEST_TOKEN = 64  # characters; no vocabulary has longer tokens


class Contract:
    """The contract of one policy. Observations have the dataset's keys; openpi's spelling of them is accepted too."""

    def __init__(self, policy: Policy, about: Mapping[str, Any]):
        self.policy = policy
        self.format = policy.preprocessor.format
        config = self.format.config
        self.cameras = config.keys("cameras")
        self.vectors = {source.key: source for source in config.state}
        self.widths = {key: config.features[key].shape[0] for key in self.vectors if key in config.features}
        self.metadata = {
            **about,
            "cameras": {key: {"slot": slot, "dtype": "uint8"} for slot, key in config.cameras.items()},
            "image_size": policy.preprocessor.model.image_size,
            "state": {key: self.widths.get(key) for key in self.vectors},
            "prompt": config.prompt.model_dump(),
            "action_type": config.action_type,
            "action_horizon": self.format.action_horizon,
            "action_dims": self._action_names(),
            "noise_shape": list(policy.noise_shape),
        }

    def _action_names(self) -> list[str] | None:
        """Return a name for each action dim, generated if the format declares no features.

        None if the number of dims is unknown because of rotations.
        """
        config = self.format.config
        if config.features:
            return self.format.robot_names({})
        if any(source.rotation for source in config.actions):
            return None
        return [f"action[{dim}]" for dim in range(self.policy.preprocessor.action_dims)]

    def item(self, observation: Any) -> Item:
        """Convert a client's observation to model inputs; raises `DataError` that names the key and the problem."""
        if not isinstance(observation, Mapping):
            raise DataError(f"found a {type(observation).__name__}; expected a mapping of observations by key")
        sample: dict[str, Any] = {}
        for key in self.cameras:
            sample[key] = self._image(key, _find(observation, key))
        for key in self.vectors:
            sample[key] = self._vector(key, _find(observation, key))
        task = observation.get("task", observation.get("prompt"))
        if task is not None and not isinstance(task, str):
            raise DataError(f"prompt: found a {type(task).__name__}; expected text")
        most = LONGEST_TOKEN * self.policy.preprocessor.model.max_token_len  # longer text cannot fit: do not tokenise
        if task is not None and len(task) > most:
            raise DataError(f"prompt: found {len(task)} characters; expected {most} at most")
        dims = len(self.policy.preprocessor.stats.state.mean)
        if (found := len(self.format.state(sample))) != dims:
            raise DataError(f"{', '.join(self.vectors)}: found {found} dims; expected {dims}")
        item = self.policy.preprocessor.item(sample | {"task": task})
        if not np.isfinite(item.state).all():
            raise DataError("state: holds numbers that are not finite once normalised; check units and norm_stats")
        return item

    def noise(self, noise: Any, count: int) -> np.ndarray:
        """Check a client's own noise for `count` observations; returns float32 (count, H, A)."""
        expected = (count, *self.policy.noise_shape)
        if not isinstance(noise, np.ndarray) or noise.dtype.kind != "f" or noise.shape != expected:
            raise DataError(f"noise: found {_shown(noise)}; expected float32 {list(expected)}")
        return _finite("noise", noise)

    def _image(self, key: str, value: Any) -> np.ndarray:
        if isinstance(value, np.ndarray) and value.ndim == 3 and value.shape[0] == 3 != value.shape[2]:
            value = np.ascontiguousarray(
                value.transpose(1, 2, 0)
            )  # channels first, as openpi's ALOHA clients send them
        if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
            raise DataError(f"{key}: found {_shown(value)}; expected uint8 [height, width, 3], or [3, height, width]")
        if not 0 < min(value.shape[:2]) <= max(value.shape[:2]) <= LARGEST_SIDE:
            raise DataError(f"{key}: found {_shown(value)}; expected sides of 1 to {LARGEST_SIDE} pixels")
        size = self.policy.preprocessor.model.image_size
        if min(value.shape[:2]) * size < max(value.shape[:2]):
            raise DataError(f"{key}: found {_shown(value)}; its short side vanishes at {size} pixels")
        return value

    def _vector(self, key: str, value: Any) -> np.ndarray:
        width = self.widths.get(key)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf" or value.ndim != 1:
            raise DataError(f"{key}: found {_shown(value)}; expected float32 [{width or 'dims'}]")
        if width is not None and len(value) != width:
            raise DataError(f"{key}: found {len(value)} dims; expected {width}")
        return _finite(key, value)


def _find(observation: Mapping[str, Any], key: str) -> Any:
    """Return the value under the dataset's key, or under openpi's spelling of it.

    That is observation/state for observation.state, or, as its ALOHA clients send cameras, images: {cam_high: …} for
    observation.images.cam_high.
    """
    bare = key.removeprefix("observation.")
    images = observation.get("images")
    if isinstance(images, Mapping) and (name := bare.removeprefix("images.")) in images:
        return images[name]
    for name in (key, key.replace(".", "/"), f"observation/{bare}", f"observation.{bare}", bare):
        if name in observation:
            return observation[name]
    raise DataError(f"{key}: is missing; found {', '.join(sorted(map(str, observation))[:20]) or 'nothing'}")


def _finite(key: str, numbers: np.ndarray) -> np.ndarray:
    """Convert to float32; raises `DataError` if a value is not finite then, since a finite float64 may overflow."""
    with np.errstate(over="ignore"):
        numbers = numbers.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise DataError(f"{key}: holds numbers that are not finite as float32")
    return numbers


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return f"a {type(value).__name__}"
