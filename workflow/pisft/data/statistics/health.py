"""Checks whether statistics suit the data that they normalise: norm_stats.report.json. Start from `health`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pisft.data.statistics.measure import Measured
from pisft.data.statistics.norm_stats import FIELDS, QUANTITIES, widen
from pisft.data.statistics.normalise import Method, NormStats, Stats, normalise
from pisft.records.health import Change, DimHealth, FieldHealth, FormatHealth, Health, Quantities, Warned

# A dim whose spread is below these is nearly constant: normalising amplifies its noise to the size of a signal.
TINY_STD = 1e-4
NARROW_RANGE = 1e-3
# A value that is this large when normalised dominates a loss in which the others are about 1.
OUTLIER = 10.0
# At most 0.02 of a dataset is beyond its own q01 and q99; from this share on, the quantiles are those of other data.
OTHER = 0.1
WARNINGS = {
    "constant": "constant",
    "tiny_std": "tiny std",
    "narrow_range": "narrow q99 − q01",
    "outliers": "outliers",
    "other_quantiles": "not the base's quantiles",
}
PADDING = "padding_"  # prefix that `Format` gives the dims of `pad_to`, which are constant by design


def health(
    measured: Mapping[str, Measured],
    names: Mapping[str, Sequence[str]],
    method: Method,
    min_std: float = 0.0,
    min_range: float = 0.0,
    base: NormStats | None = None,
    contradicted: Sequence[str] = (),
) -> Health:
    """Report per field and named dim: the measurements, the largest normalised value, what was widened, and warnings.

    The statistics in use are `base` if given, and `beyond` of `measured` is then counted against them; else they are
    `measured`, widened. Dims that they lack are not normalised. `contradicted` is what the format declares and the data
    contradict.
    """
    used = base or widen(measured, min_std, min_range)
    fields = {}
    for field in FIELDS:
        m, stats = measured[field], getattr(used, field)
        largest, unwidened = _largest(m, stats, method), _largest(m, m, method)
        dims = []
        for dim, name in enumerate(names[field]):
            own, in_use = _values(m, dim), _values(stats, dim) if dim < len(stats.mean) else None
            widened = {}
            if not base and in_use:
                widened = {key: Change(before=own[key], after=x) for key, x in in_use.items() if x != own[key]}
            if widened:
                widened["largest_normalised"] = Change(before=float(unwidened[dim]), after=float(largest[dim]))
            dims.append(
                DimHealth(
                    **own,
                    dim=dim,
                    name=name,
                    min=float(m.low[dim]),
                    max=float(m.high[dim]),
                    beyond_quantiles=None if np.isnan(m.beyond[dim]) else float(m.beyond[dim]),
                    largest_normalised=float(largest[dim]),
                    warnings=[] if name.startswith(PADDING) else _warnings(m, dim, largest[dim]),
                    base=Quantities(**in_use) if base and in_use else None,
                    widened=widened,
                )
            )
        fields[field] = FieldHealth(values=m.count, dims=dims)
    return Health(
        normalisation=method,
        statistics="base" if base else "dataset",
        min_std=None if base else min_std,
        min_range=None if base else min_range,
        format=FormatHealth(warnings=list(contradicted)),
        **fields,
    )


def lines(report: Health) -> list[str]:
    """Return one sentence for each dim that was widened or has warnings, after the warnings about the format."""
    found = list(report.format.warnings)
    for field in FIELDS:
        for dim in getattr(report, field).dims:
            words = [WARNINGS[warning] for warning in dim.warnings]
            changes = [f"{key} {_change(dim.widened[key])}" for key in QUANTITIES if key in dim.widened]
            if changes:
                words.append(f"widened: {', '.join(changes)}")
            if words:
                largest = _change(dim.widened.get("largest_normalised")) or f"{dim.largest_normalised:.3g}"
                found.append(f"{field} {dim.name}: {', '.join(words)} (largest normalised value {largest})")
    return found


def _change(value: Change | None) -> str:
    return f"{value.before:.4g} → {value.after:.4g}" if value else ""


def _values(stats: Stats, dim: int) -> dict[str, float]:
    return {key: float(getattr(stats, key)[dim]) for key in QUANTITIES}


def _largest(m: Measured, stats: Stats, method: Method) -> np.ndarray:
    """Return the largest normalised |value| of each dim."""
    return np.abs(normalise(np.stack([m.low, m.high]), stats, method)).max(axis=0)


def _warnings(m: Measured, dim: int, largest: float) -> list[Warned]:
    suspect: dict[Warned, Any] = {
        "constant": m.low[dim] == m.high[dim],
        "tiny_std": m.low[dim] != m.high[dim] and m.std[dim] < TINY_STD,
        "narrow_range": m.low[dim] != m.high[dim] and m.q99[dim] - m.q01[dim] < NARROW_RANGE,
        "outliers": largest > OUTLIER,
        "other_quantiles": m.beyond[dim] > OTHER,
    }
    return [warning for warning, yes in suspect.items() if yes]
