"""norm_stats.report.json, as a type. Start from `Health.read_from(run_dir)`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from pisft.records.base import Part, Versioned

Warned = Literal["constant", "tiny_std", "narrow_range", "outliers", "other_quantiles"]


class Quantities(Part):
    """Mean, standard deviation and the 1 % and 99 % quantiles of a dim, in its own units."""

    mean: float
    std: float
    q01: float
    q99: float


class Change(Part):
    """A value before and after statistics were widened."""

    before: float
    after: float


class DimHealth(Quantities):
    """What was measured of a dim, in its own units, and what looks wrong with it.

    `beyond_quantiles` is the share of values beyond q01 and q99 of the statistics in use, None where they lack the dim;
    so is `base`, what the base's statistics say. `widened` has an entry for each quantity that was changed.
    """

    dim: int
    name: str
    min: float
    max: float
    beyond_quantiles: float | None
    largest_normalised: float
    warnings: list[Warned]
    base: Quantities | None = None
    widened: dict[str, Change] = Field(default={})

    def used(self, key: str) -> float:
        """Return quantity `key` of the statistics in use."""
        if self.base is not None:
            return getattr(self.base, key)
        return self.widened[key].after if key in self.widened else getattr(self, key)


class FieldHealth(Part):
    """The dims of state or of actions; `values` were measured of each."""

    values: int
    dims: list[DimHealth]


class FormatHealth(Part):
    """What the format declares about its actions and the data contradict."""

    warnings: list[str] = Field(default=[])


class Health(Versioned):
    """How well the statistics in use, the dataset's own or the base's, suit the data."""

    kind: ClassVar[str] = "norm_stats.report"
    name_of_file: ClassVar[str] = "norm_stats.report.json"

    normalisation: Literal["quantile", "zscore"]
    statistics: Literal["dataset", "base"]
    min_std: NonNegativeFloat | None = None
    min_range: NonNegativeFloat | None = None
    state: FieldHealth
    actions: FieldHealth
    format: FormatHealth = FormatHealth()

    def names(self, field: str) -> list[str]:
        """Return the name of each dim of `state` or `actions`."""
        return [dim.name for dim in getattr(self, field).dims]
