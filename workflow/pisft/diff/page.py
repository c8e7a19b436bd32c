"""diff.html: two experiments side by side, one file without scripts. Start from `render`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib

from pisft.diff.side import Side
from pisft.report.figures import BLUE, ORANGE, STYLE, blank, svg
from pisft.report.template import template


def render(content: dict[str, Any], a: Side, b: Side, page: Path) -> str:
    """HTML of `pisft.diff.measure`'s content; videos are linked from where `page` will lie."""
    return template(Path(__file__).with_name("page.html.j2")).render(
        content=content,
        loss=losses(content["loss"]) if any(any(curve.values()) for curve in content["loss"].values()) else None,
        video=lambda number, name: _link((a, b)[number], name, page),
    )


def losses(curves: dict[str, dict[str, list[list[float]]]]) -> str:
    """SVG of both runs' training loss (thin) and held-out loss (marked) against the step."""
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(2.9)
        lowest = []
        for (label, curve), color in zip(curves.items(), (BLUE, ORANGE), strict=True):
            if curve["loss"]:
                axes.plot(*zip(*curve["loss"], strict=True), color=color, linewidth=0.8, alpha=0.6)
            if curve["val_loss"]:
                axes.plot(*zip(*curve["val_loss"], strict=True), color=color, marker="o", ms=3, label=label)
            lowest += [value for points in curve.values() for _, value in points]
        if min(lowest) > 0:
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("flow loss")
        figure.legend(frameon=False, ncols=2, loc="outside upper right")
        return svg(figure, "Flow loss of both runs, in training and on held-out episodes")


def _link(side: Side, name: str | None, page: Path) -> str | None:
    """Path of a side's video from the page's folder; None where there is none."""
    if name is None or not (side.folder / name).is_file():
        return None
    return os.path.relpath(side.folder / name, page.parent)
