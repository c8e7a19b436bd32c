"""`config/formats/<format>.yaml`: how the keys of a LeRobot dataset map onto OpenPI's inputs. Data, not code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from pisft.config.base import Strict, nearest
from pisft.names import why_no_key

SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
ALOHA_DIMS = 14  # two arms of six joints and a gripper
Slot = Literal["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"]


def _camera(key: str) -> str:
    if reason := why_no_key(key):
        raise ValueError(f"a camera's key names a folder: {reason}")
    return key


def _column(key: str) -> str:
    if not key.isprintable():
        raise ValueError("a key holds what cannot be printed")
    return key


Camera = Annotated[str, AfterValidator(_camera)]
Column = Annotated[str, AfterValidator(_column)]
Rotation = Literal["rpy", "axis_angle", "quaternion_xyzw", "quaternion_wxyz"]
ROTATION_DIMS = {"rpy": 3, "axis_angle": 3, "quaternion_xyzw": 4, "quaternion_wxyz": 4}
ROT6D_DIMS = 6


class Feature(Strict):
    """A feature of the dataset, in the words of its info.json. An image's shape is (height, width, 3)."""

    dtype: str = "float32"
    shape: list[PositiveInt] = Field(min_length=1)
    names: list[str] | None = None

    @model_validator(mode="after")
    def _a_name_a_dim(self):
        if self.names is not None and not self.is_image and len(self.names) != self.shape[0]:
            raise ValueError(f"{len(self.names)} names for {self.shape[0]} dims")
        if self.is_image and (len(self.shape) != 3 or self.shape[2] != 3):
            raise ValueError(f"an image's shape is [height, width, 3], not {self.shape}")
        if not self.is_image and len(self.shape) != 1:
            raise ValueError(f"a vector's shape is [dims], not {self.shape}")
        return self

    @property
    def is_image(self) -> bool:
        """Whether it is a camera, stored as images or as video."""
        return self.dtype in ("image", "video")


def named(features: dict[str, Feature]) -> dict[str, Feature]:
    """Return `features`; raises `ValueError` if a camera's key cannot name a folder."""
    for key, feature in features.items():
        if feature.is_image:
            _camera(key)
    return features


class Source(Strict):
    """A vector feature of the dataset, whole or its dims `dims[0]` up to and without `dims[1]`."""

    key: Column
    dims: tuple[int, int] | None = None
    flatten: bool = Field(
        default=False,
        description="the dataset holds it as a table, such as (arms, joints): its rows one after the other",
    )
    rotation: Rotation | None = Field(
        default=None, description="these dims are a rotation (rpy in radians, x first); the model sees rot6d, six dims"
    )

    @model_validator(mode="after")
    def _ordered(self):
        if self.dims is not None and not 0 <= self.dims[0] < self.dims[1]:
            raise ValueError("dims must be [first, end] with 0 <= first < end")
        if self.rotation and self.dims is not None and self.dims[1] - self.dims[0] != ROTATION_DIMS[self.rotation]:
            raise ValueError(f"{self.rotation} has {ROTATION_DIMS[self.rotation]} dims")
        return self


def _sources(value):
    """Turn a bare key, or a list of keys and mappings, into a list of mappings."""
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

    features: Annotated[dict[Column, Feature], AfterValidator(named)] = Field(
        {}, description="what the dataset holds; vectors are checked against it, and ~smoke generates it"
    )
    fps: PositiveFloat | None = Field(None, description="of the dataset, checked; null for any")
    cameras: dict[Slot, Camera] = Field(description="OpenPI slot → dataset key; a slot left out is never computed")
    state: Sources
    actions: Sources
    action_type: Literal["absolute", "delta"] = Field(
        "absolute", description="what the dataset holds; with delta there is nothing for delta_mask to do"
    )
    delta_mask: list[int] = Field(
        [],
        description="what the model learns, in openpi's notation: 6, -1 = six dims relative to the state, one absolute",
    )
    adapt_to_pi: bool = Field(False, description="ALOHA's joints and grippers as in π₀'s own training (14 dims)")
    pad_to: PositiveInt | None = Field(
        None, description="zeros up to this width before statistics and normalising, as some published formats have"
    )
    normalisation: Literal["zscore", "quantile"]
    discrete_state_input: bool = Field(False, description="π₀.₅: the state as 256 bins in the prompt")
    prompt: Prompt = Prompt()
    action_horizon: PositiveInt
    short_episodes: Literal["error", "repeat"] = Field(
        "error", description="where an episode is shorter than the horizon; repeat: its last action fills the chunk"
    )
    asset_id: str | None = Field(None, description="where openpi and RLinf look this format's norm_stats.json up")

    @model_validator(mode="after")
    def _agree(self):
        if self.action_type == "delta" and any(count > 0 for count in self.delta_mask):
            raise ValueError(
                "action_type: delta: the dataset's actions are relative already; take delta_mask out, or say "
                "action_type: absolute"
            )
        if 0 in self.delta_mask:
            raise ValueError("delta_mask: a count of 0 says nothing")
        used = {*self.keys("cameras"), *self.keys("state"), *self.keys("actions")}
        if self.features and (unknown := sorted(used - self.features.keys())):
            suggestion = nearest(unknown[0], list(self.features))
            raise ValueError(f"features: has no '{unknown[0]}', which cameras, state or actions name; {suggestion}")
        for name in ("state", "actions"):
            self._check_vector(name, getattr(self, name))
        for slot, key in self.cameras.items():
            if key in self.features and not self.features[key].is_image:
                raise ValueError(f"cameras.{slot}: '{key}' is {self.features[key].dtype} in features")
        return self

    def _check_vector(self, name: str, sources: list[Source]) -> None:
        for source in sources:
            feature = self.features.get(source.key)
            if feature and feature.is_image:
                raise ValueError(f"{name}: '{source.key}' is {feature.dtype} in features; expected a vector")
            if feature and source.dims and source.dims[1] > feature.shape[0]:
                raise ValueError(f"{name}: dims {list(source.dims)} of '{source.key}', which has {feature.shape[0]}")
        widths = self.widths(sources)
        if None in widths and self.pad_to is not None:
            raise ValueError(f"{name}: pad_to needs to know which dims are real: give {name}' shape in features")
        width = self.width(sources)
        if width is not None and self.pad_to is not None and width > self.pad_to:
            raise ValueError(f"{name}: has {width} dims; pad_to is {self.pad_to}")
        if width is not None and self.adapt_to_pi and width != ALOHA_DIMS:
            raise ValueError(f"{name}: has {width} dims; adapt_to_pi is ALOHA's, which has {ALOHA_DIMS}")

    def keys(self, part: Literal["cameras", "state", "actions"]) -> list[str]:
        """Return the dataset keys that `part` is read from."""
        if part == "cameras":
            return list(self.cameras.values())
        return [source.key for source in getattr(self, part)]

    def widths(self, sources: list[Source]) -> list[int | None]:
        """Return the encoded dims of each source, before padding; None where only the dataset can tell."""
        return [self._width(source) for source in sources]

    def width(self, sources: list[Source]) -> int | None:
        """Encoded dims of all `sources`, before padding; None where only the dataset can tell."""
        known = [width for width in self.widths(sources) if width is not None]
        return sum(known) if len(known) == len(sources) else None

    def _width(self, source: Source) -> int | None:
        if source.rotation:
            return ROT6D_DIMS
        if source.dims is not None:
            return source.dims[1] - source.dims[0]
        return self.features[source.key].shape[0] if source.key in self.features else None
