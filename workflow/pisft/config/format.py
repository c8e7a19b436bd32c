"""`config/formats/<format>.yaml`: how the keys of a LeRobot dataset map onto OpenPI's inputs. Data, not code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from pisft.config.base import Strict

SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
Slot = Literal["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"]


class Source(Strict):
    """A vector feature of the dataset, whole or its dims `dims[0]` up to and without `dims[1]`."""

    key: str
    dims: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _ordered(self):
        if self.dims is not None and not 0 <= self.dims[0] < self.dims[1]:
            raise ValueError("dims must be [first, end] with 0 <= first < end")
        return self


def _sources(value):
    """A bare key, or a list of keys and mappings, as a list of mappings."""
    items = value if isinstance(value, list) else [value]
    return [{"key": item} if isinstance(item, str) else item for item in items]


Sources = Annotated[
    list[Source],
    Field(min_length=1),
    BeforeValidator(_sources, json_schema_input_type=str | list[str | Source]),
]


class Prompt(Strict):
    """The instruction: each frame's task where `from_task`, else (or where it is empty) `default`."""

    from_task: bool = True
    default: str | None = None

    @model_validator(mode="after")
    def _some_prompt(self):
        if not self.from_task and self.default is None:
            raise ValueError("give a default prompt, or from_task: true")
        return self


class FormatConfig(Strict):
    """One format; several `state` or `actions` sources are concatenated in order."""

    cameras: dict[Slot, str] = Field(description="OpenPI slot → dataset key; a slot left out is never computed")
    state: Sources
    actions: Sources
    delta_mask: list[int] = Field(
        [], description="openpi's notation: 6, -1 = six dims relative to the state, one absolute; [] for none"
    )
    normalisation: Literal["zscore", "quantile"]
    discrete_state_input: bool = Field(False, description="π₀.₅: the state as 256 bins in the prompt")
    prompt: Prompt = Prompt()
    action_horizon: PositiveInt
