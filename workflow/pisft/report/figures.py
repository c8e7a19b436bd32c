"""The page's pictures, as SVG text that is the same for the same numbers. Narrow enough to be read on a phone."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, BLUE, ORANGE = "#1d2433", "#8a93a5", "#2f6fde", "#e07b39"
STYLE = {
    "svg.hashsalt": "pisft",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#e6e9f0",
    "axes.axisbelow": True,
}


def loss_curve(metrics: list[dict[str, float | None]]) -> str:
    """Training loss (smoothed beside raw) and validation loss against the step, from rows of metrics.csv."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(2.7)
        train = [(row["step"], row["loss"]) for row in metrics if row.get("loss") is not None]
        valid = [(row["step"], row["val_loss"]) for row in metrics if row.get("val_loss") is not None]
        if train:
            axes.plot(*zip(*train, strict=True), color=BLUE, linewidth=1.2, label="training")
        if valid:
            axes.plot(*zip(*valid, strict=True), color=ORANGE, linewidth=1.6, marker="o", ms=3, label="held-out")
        if train and min(loss for _, loss in train) > 0:
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("flow loss")
        if train or valid:
            axes.legend(frameon=False)
        return _svg(figure, "Flow loss in training and on held-out episodes against the step")


def statistics(stats: dict[str, dict[str, list[float]]], field: str, names: list[str]) -> str:
    """Per named dim of `field`: the range q01 to q99 as a bar, mean ± std as a point with whiskers, in robot units."""
    with matplotlib.rc_context(STYLE):
        count = min(len(names), len(stats[field]["mean"]))  # statistics of a base may have more dims or fewer
        content = {key: values[:count] for key, values in stats[field].items()}
        figure, axes = _figure(0.75 + 0.3 * count)
        rows = range(count)
        axes.barh(
            rows,
            [high - low for low, high in zip(content["q01"], content["q99"], strict=True)],
            left=content["q01"],
            height=0.55,
            color="#cfdcf7",
            label="q01 to q99",
        )
        axes.errorbar(
            content["mean"],
            rows,
            xerr=content["std"],
            fmt="o",
            ms=4,
            color=BLUE,
            capsize=3,
            label="mean ± std",
        )
        axes.set_yticks(list(rows), names[:count])
        axes.invert_yaxis()
        axes.margins(y=0.08)
        figure.legend(frameon=False, ncols=2, loc="outside upper right")
        return _svg(figure, f"Statistics of each dim of {field}")


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, title: str) -> str:
    buffer = io.StringIO()
    none: Any = None
    figure.savefig(buffer, format="svg", metadata={"Date": none, "Creator": none}, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
