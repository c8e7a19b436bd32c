"""`config/models/<model>.yaml`: every dimension of a π₀ or π₀.₅, its tokenizer and its base weights.

Start from `ModelConfig.from_yaml(path)`; a tiny model is a YAML file too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from pydantic import Field, PositiveInt, model_validator

from pisft.config.base import Strict


class VisionConfig(Strict):
    """SigLIP encoder; `patch` in pixels."""

    width: PositiveInt
    depth: PositiveInt
    mlp: PositiveInt
    heads: PositiveInt
    patch: PositiveInt


class StackConfig(Strict):
    """What differs between the two Gemma experts; depth and heads are shared."""

    width: PositiveInt
    mlp: PositiveInt


class TokenizerConfig(Strict):
    """`bytes` (one token a byte) or `paligemma` (hub, or `path` to paligemma_tokenizer.model)."""

    kind: Literal["bytes", "paligemma"]
    path: str | None = None


class BaseWeights(Strict):
    """Weights to start from, by exactly one of `path`, `repo`, `orbax` and `experiment`."""

    path: str | None = Field(None, description="a safetensors file, or a folder with model.safetensors")
    repo: str | None = Field(None, description="a hub repo that holds model.safetensors")
    revision: str | None = Field(None, description="the commit or tag of `repo`")
    orbax: str | None = Field(None, description="folder of one of openpi's JAX checkpoints; it is converted once")
    experiment: str | None = Field(None, description="an experiment whose checkpoint to start from; built if missing")

    @model_validator(mode="after")
    def _one_source(self):
        if sum(source is not None for source in (self.path, self.repo, self.orbax, self.experiment)) != 1:
            raise ValueError("give exactly one of path, repo, orbax and experiment")
        if (self.repo is None) != (self.revision is None):
            raise ValueError("a hub repo needs a pinned revision, and nothing else does")
        return self

    def statistics_folder(self) -> Path:
        """Return the folder with the statistics of weights on disk: that of `path`, or of the checkpoint of `orbax`."""
        where = Path(cast(str, self.path or self.orbax)).expanduser()  # only of one of these
        return where.parent if where.suffix == ".safetensors" or where.name == "params" else where


class ModelConfig(Strict):
    """Dimensions of one π₀ (`variant: pi0`) or π₀.₅ (`variant: pi05`)."""

    variant: Literal["pi0", "pi05"]
    image_size: PositiveInt = Field(224, description="side of the square input image, pixels")
    vision: VisionConfig
    depth: PositiveInt = Field(description="joint transformer blocks")
    heads: PositiveInt
    kv_heads: PositiveInt = 1
    head_dim: PositiveInt
    vlm: StackConfig
    expert: StackConfig
    vocab_size: PositiveInt
    action_dim: PositiveInt = Field(32, description="padded width of state and actions")
    action_horizon: PositiveInt = Field(50, description="an experiment takes its format's horizon")
    max_token_len: PositiveInt = Field(48, description="longest prompt in tokens; longer ones are an error")
    tokenizer: TokenizerConfig
    base: Literal["scratch"] | BaseWeights = "scratch"

    @property
    def weights(self) -> BaseWeights | None:
        """The base weights; None where training starts from scratch."""
        return None if self.base == "scratch" else self.base

    @model_validator(mode="after")
    def _divisible(self):
        if self.image_size % self.vision.patch:
            raise ValueError(f"image_size {self.image_size} is not a multiple of vision.patch {self.vision.patch}")
        if self.vision.width % self.vision.heads:
            raise ValueError(f"vision.width {self.vision.width} is not a multiple of vision.heads {self.vision.heads}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} must be even (rotary embedding)")
        return self
