"""Checks whether statistics suit the data that they normalise: norm_stats.report.json. Start from `health`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pisft.data.statistics.measure import Measured
from pisft.data.statistics.norm_stats import FIELDS, QUANTITIES, widen
from pisft.data.statistics.normalise import Method, NormStats, Stats, normalise

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
) -> dict[str, Any]:
    """Report per field and named dim: the measurements, the largest normalised value, what was widened, and warnings.

    The statistics in use are `base` if given, and `beyond` of `measured` is then counted against them; else they are
    `measured`, widened. Dims that they lack are not normalised.
    """
    used = base or widen(measured, min_std, min_range)
    report: dict[str, Any] = {"normalisation": method, "statistics": "base" if base else "dataset"}
    report |= {} if base else {"min_std": min_std, "min_range": min_range}
    for field in FIELDS:
        m, stats = measured[field], getattr(used, field)
        largest, unwidened = _largest(m, stats, method), _largest(m, m, method)
        dims = []
        for dim, name in enumerate(names[field]):
            own, in_use = _values(m, dim), _values(stats, dim) if dim < len(stats.mean) else None
            entry = {
                "dim": dim,
                "name": name,
                **own,
                "min": float(m.low[dim]),
                "max": float(m.high[dim]),
                "beyond_quantiles": None if np.isnan(m.beyond[dim]) else float(m.beyond[dim]),
                "largest_normalised": float(largest[dim]),
                "warnings": [] if name.startswith(PADDING) else _warnings(m, dim, largest[dim]),
            }
            if base:
                entry["base"] = in_use
            else:
                widened = {key: {"before": own[key], "after": x} for key, x in (in_use or own).items() if x != own[key]}
                if widened:
                    widened["largest_normalised"] = {"before": float(unwidened[dim]), "after": float(largest[dim])}
                entry["widened"] = widened
            dims.append(entry)
        report[field] = {"values": m.count, "dims": dims}
    return report


def lines(report: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each dim that was widened or has warnings, after the warnings about the format."""
    found = list(report.get("format", {}).get("warnings", []))
    for field in FIELDS:
        for dim in report[field]["dims"]:
            words, widened = [WARNINGS[warning] for warning in dim["warnings"]], dim.get("widened") or {}
            changes = [f"{key} {_change(widened[key])}" for key in QUANTITIES if key in widened]
            if widened:
                words.append(f"widened: {', '.join(changes)}")
            if words:
                largest = _change(widened.get("largest_normalised")) or f"{dim['largest_normalised']:.3g}"
                found.append(f"{field} {dim['name']}: {', '.join(words)} (largest normalised value {largest})")
    return found


def _change(value: Mapping[str, float] | None) -> str:
    return f"{value['before']:.4g} → {value['after']:.4g}" if value else ""


def _values(stats: Stats, dim: int) -> dict[str, float]:
    return {key: float(getattr(stats, key)[dim]) for key in QUANTITIES}


def _largest(m: Measured, stats: Stats, method: Method) -> np.ndarray:
    """Return the largest normalised |value| of each dim."""
    return np.abs(normalise(np.stack([m.low, m.high]), stats, method)).max(axis=0)


def _warnings(m: Measured, dim: int, largest: float) -> list[str]:
    suspect = {
        "constant": m.low[dim] == m.high[dim],
        "tiny_std": m.low[dim] != m.high[dim] and m.std[dim] < TINY_STD,
        "narrow_range": m.low[dim] != m.high[dim] and m.q99[dim] - m.q01[dim] < NARROW_RANGE,
        "outliers": largest > OUTLIER,
        "other_quantiles": m.beyond[dim] > OTHER,
    }
    return [warning for warning, yes in suspect.items() if yes]
