"""`config/experiments/<exp>.yaml`, typed: `Experiment` as a person writes it, `Resolved` as stages read it."""
# In `Resolved` what a name stands for takes its place; nothing takes it for an `Experiment`.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from pisft.config.base import ConfigError, Strict
from pisft.config.dataset import Origin
from pisft.config.evaluation import Eval, Published
from pisft.config.finetune import Full, Lora
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.ranges import numbers
from pisft.config.simulators import AnySimulator
from pisft.config.train import Cluster, Logging, Train


class DatasetUse(Strict):
    """One dataset of an experiment; `episodes` such as `["0-49", "60"]` (both ends included), or all.

    `weight` counts per frame: with 2, an epoch shows each frame of this dataset twice.
    """

    name: str
    weight: PositiveFloat = 1.0
    episodes: list[str] | None = None
    episodes_per_task: PositiveInt | None = Field(
        None, description="train on the first ones of each instruction only; the held-out episodes stay the same"
    )

    @field_validator("episodes", mode="before")
    @classmethod
    def _as_ranges(cls, value):
        if value is None:
            return None
        items = [str(item) for item in (value if isinstance(value, list) else [value])]
        numbers(",".join(items))
        return items

    def selected(self, total: int) -> list[int]:
        """Return the selected episode numbers out of `total`, ascending; raises `ConfigError` if one does not exist."""
        if self.episodes is None:
            return list(range(total))
        chosen = numbers(",".join(self.episodes))
        if chosen and chosen[-1] >= total:
            raise ConfigError(
                f"datasets: {self.name}: episodes {', '.join(self.episodes)} selected, "
                f"but the dataset has {total} (0-{total - 1})"
            )
        return chosen


class Split(Strict):
    """Episodes kept out of training and statistics, for validation; drawn with `seed`."""

    heldout_fraction: float = Field(
        default=0.02, ge=0.0, lt=1.0, description="of each dataset's episodes, rounded up; 0 trains without validation"
    )
    seed: NonNegativeInt = 0

    @property
    def without_validation(self) -> str | None:
        """A warning about its consequences if nothing is held out, else None."""
        if self.heldout_fraction:
            return None
        return (
            "split.heldout_fraction is 0: trained without validation; open-loop errors are of episodes that it was "
            "trained on"
        )


class NormStatsConfig(Strict):
    """`dataset`: computed from the training episodes. `min_std` and `min_range` widen nearly constant dims.

    `base`: those that the base weights were trained with.
    """

    source: Literal["dataset", "base"] = Field(default="dataset", alias="from")
    asset_id: str | None = Field(
        default=None,
        description="which of the base's statistics: the folder's name under its assets; null for the format's",
    )
    min_std: NonNegativeFloat = 0.0
    min_range: NonNegativeFloat = 0.0

    @field_validator("asset_id")
    @classmethod
    def _of_the_base(cls, value, info):
        if value is not None and info.data.get("source") != "base":
            raise ValueError("only the statistics of base weights have one: write from: base")
        return value


class Experiment(Strict):
    """One experiment as a person writes it."""

    recipe: str = Field("custom", description="the published recipe that this follows")
    model: str
    format: str
    datasets: list[DatasetUse] = Field(min_length=1)
    split: Split = Split()
    norm_stats: NormStatsConfig = NormStatsConfig()
    finetune: Annotated[Full | Lora, Field(discriminator="method")] = Full()
    train: Train
    eval: Eval = Eval()
    published: Published | None = None
    logging: Logging = Logging()
    cluster: Cluster = Cluster()

    @field_validator("datasets")
    @classmethod
    def _each_episode_once(cls, uses: list[DatasetUse]) -> list[DatasetUse]:
        """Reject an episode that is used twice, since it could be both trained on and held out."""
        seen: dict[str, set[int]] = {}
        for use in uses:
            chosen = set(numbers(",".join(use.episodes or [])))  # empty: all episodes
            if use.name in seen and (not chosen or not seen[use.name] or chosen & seen[use.name]):
                raise ValueError(f"{use.name} is named twice with the same episodes; give each its own `episodes`")
            seen[use.name] = chosen | seen.get(use.name, set())
        return uses


class ResolvedDataset(DatasetUse):
    """A dataset with the content of its file."""

    origin: Origin


class Resolved(Experiment):
    """An experiment in which every name has become what it stands for."""

    name: str
    model_name: str
    model: ModelConfig
    format: FormatConfig
    datasets: list[ResolvedDataset]
    simulators: dict[str, AnySimulator]
