"""What is trained: every parameter, or low-rank adapters."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from pisft.config.base import Strict


class Full(Strict):
    """Every parameter that gets a gradient is trained, but for the parts in `freeze`."""

    method: Literal["full"] = "full"
    freeze: list[Literal["vision", "vlm", "expert"]] = Field(
        default=[], description="vision: SigLIP; vlm: projector, embedding and Gemma; expert: the rest"
    )


class Lora(Strict):
    """Low-rank adapters by peft, after one of three published choices or on modules of your own.

    Regular expressions match whole names as in the checkpoint's file, without `.weight`.
    """

    method: Literal["lora"]
    targets: Literal["openpi", "rlinf", "lerobot"] | list[str] = Field(
        "openpi", description="modules that get an adapter, by preset or as regular expressions"
    )
    train: list[str] = Field([], description="modules besides the preset's that are trained in full")
    rank: PositiveInt | None = Field(None, description="null for the preset's own")
    alpha: PositiveFloat | None = Field(
        None, description="adapters are scaled by alpha / rank; null for the preset's own"
    )
    adapter: str | None = Field(None, description="a saved adapter folder to start from")

    @field_validator("targets", "train")
    @classmethod
    def _valid_patterns(cls, value):
        for pattern in value if isinstance(value, list) else []:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
        return value
