"""Converts a sample in the dataset's own keys to model inputs, and model outputs to robot actions.

Start from `Preprocessor(model, format, stats)`: `item` for one sample, `collate` for a batch, `actions` for the
reverse. openpi's order: format, normalise, prompt, resize, tokenise, zero-pad.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from pisft.config.base import ConfigError
from pisft.config.model import ModelConfig
from pisft.data.errors import DataError
from pisft.data.statistics.norm_stats import NormStats
from pisft.data.statistics.normalise import normalise, unnormalise
from pisft.data.transforms.format import Format
from pisft.data.transforms.images import resize_with_pad
from pisft.data.transforms.tokenizer import PAD, load_tokenizer
from pisft.model import Observation

# Prompts are padded to a multiple of this, so that a compiled model sees few shapes.
TOKEN_BUCKET = 8


@dataclass(frozen=True)
class Item:
    """One sample, ready for a batch: D is the model's action_dim, H its action_horizon, S its image_size."""

    images: dict[str, np.ndarray]  # slot → uint8 (3, S, S), only slots that exist
    state: np.ndarray  # float32 (D,), normalised and zero-padded
    tokens: list[int]
    encoded_state: np.ndarray  # float32 (state dims,), an argument of `Preprocessor.actions`
    actions: np.ndarray | None  # float32 (H, D), normalised and zero-padded


class Preprocessor:
    """Maps robot samples to model inputs and back, for one model, format and set of statistics."""

    def __init__(self, model: ModelConfig, fmt: Format, stats: NormStats):
        if fmt.config.discrete_state_input and model.variant != "pi05":
            raise ConfigError(f"format: discrete_state_input is π₀.₅'s; the model's variant is {model.variant}")
        if fmt.action_horizon != model.action_horizon:
            raise ConfigError(f"format: action_horizon is {fmt.action_horizon}, the model's is {model.action_horizon}")
        self.model, self.format, self.stats = model, fmt, stats
        # pydantic gives what is immutable a hash
        self.tokenizer = load_tokenizer(model.tokenizer, model.max_token_len)  # pyright: ignore[reportArgumentType]
        for name, dims in (("state", len(stats.state.mean)), ("actions", len(stats.actions.mean))):
            if dims > model.action_dim:
                raise ConfigError(f"{name}: has {dims} dims; the model's action_dim is {model.action_dim}")

    @property
    def action_dims(self) -> int:
        """Number of real action dims; the model's other dims are padding."""
        return self.format.real_dims(len(self.stats.actions.mean))

    def item(self, sample: Mapping[str, Any]) -> Item:
        """Convert one sample to model inputs: images uint8 (H, W, 3), vectors, `task`, optional actions (H, d)."""
        encoded = self.format.encode(sample)
        actions = encoded.get("actions")
        return Item(
            images={slot: self.image(image) for slot, image in encoded["images"].items()},
            state=self.normalised_state(encoded["state"]),
            tokens=self.tokens(encoded["prompt"], encoded["state"]),
            encoded_state=encoded["state"],
            actions=None if actions is None else self.normalised_actions(actions),
        )

    def image(self, image: np.ndarray) -> np.ndarray:
        """Resize and transpose: uint8 (H, W, 3) → uint8 (3, S, S)."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DataError(f"image: found {image.dtype} {image.shape}; expected uint8 (height, width, 3)")
        return np.ascontiguousarray(resize_with_pad(image, self.model.image_size).transpose(2, 0, 1))

    def tokens(self, prompt: str, state: np.ndarray) -> list[int]:
        """Return the token ids of a clean prompt, with the encoded state (S,) in it if the format says so."""
        if not self.format.config.discrete_state_input:
            return self.tokenizer.encode(prompt)
        return self.tokenizer.encode(prompt, normalise(state, self.stats.state, self.format.config.normalisation))

    def check_prompts(self, tasks: Iterable[str]) -> None:
        """Raise `DataError` for an instruction whose prompt can be too long, taking the longest possible state."""
        inside = self.format.config.discrete_state_input
        widest = np.ones(len(self.stats.state.mean)) if inside else None  # all in the last bin, which has three digits
        for task in tasks:
            self.tokenizer.encode(self.format.prompt(task), widest)

    def normalised_state(self, state: np.ndarray) -> np.ndarray:
        """Normalise and zero-pad encoded states (..., d) → float32 (..., D)."""
        return self._padded("state", normalise(state, self.stats.state, self.format.config.normalisation))

    def normalised_actions(self, actions: np.ndarray) -> np.ndarray:
        """Normalise and zero-pad encoded actions (..., H, d) → float32 (..., H, D)."""
        return self._padded("actions", normalise(actions, self.stats.actions, self.format.config.normalisation))

    def actions(self, chunk: np.ndarray, encoded_state: np.ndarray) -> np.ndarray:
        """Convert the model's chunk (..., H, D) to robot actions, float32 (..., H, d)."""
        real = np.asarray(chunk)[..., : len(self.stats.actions.mean)]
        encoded = unnormalise(real, self.stats.actions, self.format.config.normalisation)
        return self.format.decode(encoded, encoded_state)

    def _padded(self, name: str, x: np.ndarray) -> np.ndarray:
        surplus = self.model.action_dim - x.shape[-1]
        if surplus < 0:
            raise DataError(f"{name}: has {x.shape[-1]} dims; the model's action_dim is {self.model.action_dim}")
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, surplus)])


def collate(items: Sequence[Item]) -> tuple[Observation, torch.Tensor | None]:
    """Return (observation, actions (B, H, D) or None) on the CPU; images stay uint8 until `to`."""
    images = {slot: np.stack([item.images[slot] for item in items]) for slot in items[0].images}
    state = np.stack([item.state for item in items])
    actions = (
        None
        if items[0].actions is None
        else torch.from_numpy(np.stack([cast(np.ndarray, item.actions) for item in items]))
    )
    return observation(images, state, [item.tokens for item in items]), actions


def observation(
    images: Mapping[str, np.ndarray], state: np.ndarray, tokens: Sequence[Sequence[int]], longest: int = 0
) -> Observation:
    """Build an observation from slot → uint8 (B, 3, S, S), state float32 (B, D) and B lists of token ids.

    Prompts are padded to at least `longest` tokens, so that several batches can have one shape.
    """
    longest = max(longest, *map(len, tokens))
    padded = np.full((len(tokens), -(-longest // TOKEN_BUCKET) * TOKEN_BUCKET), PAD, np.int64)
    mask = np.zeros(padded.shape, bool)
    for row, ids in enumerate(tokens):
        padded[row, : len(ids)] = ids
        mask[row, : len(ids)] = True
    return Observation(
        images={slot: torch.from_numpy(x) for slot, x in images.items()},
        image_masks={slot: torch.ones(len(x), dtype=torch.bool) for slot, x in images.items()},
        state=torch.from_numpy(state),
        tokens=torch.from_numpy(padded),
        token_mask=torch.from_numpy(mask),
    )
