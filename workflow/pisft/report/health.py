"""norm_stats.report.png: each dim as the policy sees it, and what looks wrong. Start from `draw(report, path)`.

No part of any key (`pisft.provenance.code`): how a figure is drawn is no reason to train again.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisft.data.statistics.health import PADDING, WARNINGS
from pisft.data.statistics.norm_stats import FIELDS
from pisft.data.statistics.normalise import Method, Stats, normalise
from pisft.report.figures import BLUE, INK, MUTED, ORANGE, STYLE

LIMIT = {"quantile": "q01 is −1, q99 is 1", "zscore": "mean is 0, one std is 1"}
LINEAR = 2.0  # up to here the axis is linear, beyond logarithmic


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw a norm_stats.report.json: the same bytes for the same report, written atomically by a rename."""
    rows = [len(_shown(report, field)) for field in FIELDS]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 1.7 + 0.26 * sum(rows)), layout="constrained", dpi=150)
        panels = figure.subplots(len(FIELDS), 1, height_ratios=[n + 1.5 for n in rows])
        for axes, field in zip(panels, FIELDS, strict=True):
            _panel(axes, field, report)
        whose = "the base's statistics" if report["statistics"] == "base" else "its own statistics"
        axis = f"normalised with {whose}: {LIMIT[report['normalisation']]}"
        figure.supxlabel(f"{axis}\nat the right, min … max in the dim's own units", fontsize=8, color=INK)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, ncols=len(labels), loc="outside upper center")
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            figure.savefig(temporary, format="png", metadata={"Software": None})
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _panel(axes: Axes, field: str, report: dict[str, Any]) -> None:
    dims = _shown(report, field)
    seen = _normalised(dims, report["normalisation"])
    y = np.arange(len(dims))
    bad = [bool(dim["warnings"]) for dim in dims]
    axes.hlines(y, seen["min"], seen["max"], color=[ORANGE if b else MUTED for b in bad], lw=1.2, label="min to max")
    axes.barh(y, seen["q99"] - seen["q01"], left=seen["q01"], height=0.55, color="#cfdcf7", label="q01 to q99")
    axes.errorbar(
        seen["mean"], y, xerr=seen["std"], fmt="o", ms=3.5, lw=1.2, color=BLUE, capsize=2.5, label="mean ± std"
    )
    axes.set_xscale("symlog", linthresh=LINEAR)
    ends = [float(end) for key in ("min", "max", "q01", "q99") for end in seen[key]]
    low, high = min(-LINEAR, 1.5 * min(ends)), max(LINEAR, 1.5 * max(ends))
    axes.set_xlim(low, high)
    tens = [10.0**power for power in range(math.ceil(math.log10(max(-low, high))) + 1)]
    ticks = [tick for tick in [-ten for ten in reversed(tens)] + [0.0, *tens] if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(len(dims) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    padding = len(report[field]["dims"]) - len(dims)
    more = f"; {padding} dims of padding are not shown" if padding else ""
    axes.set_title(f"{field} ({report[field]['values']:,} values a dim{more})", loc="left", fontsize=9, color=INK)
    axes.set_yticks(y, [dim["name"] for dim in dims])
    right = axes.secondary_yaxis("right")
    right.set_yticks(y, [_words(dim) for dim in dims])
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    for labels in (axes.get_yticklabels(), right.get_yticklabels()):
        for label, b in zip(labels, bad, strict=True):
            label.set_color(ORANGE if b else INK)
            label.set_fontsize(8)


def _shown(report: dict[str, Any], field: str) -> list[dict[str, Any]]:
    return [dim for dim in report[field]["dims"] if not dim["name"].startswith(PADDING)]


def _words(dim: dict[str, Any]) -> str:
    """The extremes in the dim's own units, and what looks wrong."""
    words = [WARNINGS[warning] for warning in dim["warnings"]] + (["widened"] if dim.get("widened") else [])
    extremes = f"{dim['min']:.3g} … {dim['max']:.3g}".replace("-", "−")
    return " · ".join([extremes, *words])


def _normalised(dims: list[dict[str, Any]], method: Method) -> dict[str, np.ndarray]:
    """What was measured of each dim, as the statistics in use make it."""
    own = {key: np.array([dim[key] for dim in dims]) for key in ("mean", "std", "q01", "q99", "min", "max")}
    known = [dim for dim in dims if dim.get("base", True)]  # a dim that the base lacks is not normalised
    used = Stats(*(np.array([_used(dim, key) for dim in known]) for key in ("mean", "std", "q01", "q99")))
    seen = {key: normalise(own[key][None], used, method)[0] for key in own if key != "std"}
    return seen | {"std": normalise((own["mean"] + own["std"])[None], used, method)[0] - seen["mean"]}


def _used(dim: dict[str, Any], key: str) -> float:
    if "base" in dim:
        return dim["base"][key]
    return dim["widened"][key]["after"] if key in dim["widened"] else dim[key]
