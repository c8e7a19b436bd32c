"""diff.html: two experiments side by side, one file without scripts. Start from `render`."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib

from pisft.diff.terminal import short
from pisft.records.difference import Curve, Difference
from pisft.report.figures import BLUE, ORANGE, STYLE, blank, svg
from pisft.report.template import template

Films = dict[tuple[int, str, int], Path]  # (0 or 1, task, seed) → video


def render(content: Difference, page: Path, films: Films | None = None, unfilmed: str | None = None) -> str:
    """HTML of `pisft.diff.measure`'s content; the `films` of `pisft.diff.films` are linked from where `page` will lie,
    and `unfilmed` says why there are none of some."""
    logged = any(curve.loss or curve.val_loss for curve in content.loss)
    return template(Path(__file__).with_name("page.html.j2")).render(
        content=content,
        short=short,
        loss=losses(content.loss, (content.a, content.b)) if logged else None,
        films={key: os.path.relpath(path, page.parent) for key, path in (films or {}).items()},
        unfilmed=unfilmed,
    )


def losses(curves: tuple[Curve, Curve], labels: tuple[str, str]) -> str:
    """SVG of both runs' training loss (thin) and held-out loss (marked) against the step."""
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(2.9)
        lowest = []
        for curve, label, color in zip(curves, labels, (BLUE, ORANGE), strict=True):
            if curve.loss:
                axes.plot(*zip(*curve.loss, strict=True), color=color, linewidth=0.8, alpha=0.6)
            held_out = tuple(zip(*curve.val_loss, strict=True)) or ((), ())
            axes.plot(*held_out, color=color, marker="o", ms=3, label=label)
            lowest += [value for points in (curve.loss, curve.val_loss) for _, value in points]
        if min(lowest) > 0:
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("flow loss")
        figure.legend(frameon=False, ncols=2, loc="outside upper right")
        return svg(figure, "Flow loss of both runs, in training and on held-out episodes")
