"""The page's figures, as SVG text that is the same for the same numbers. Narrow enough to be read on a phone."""

from __future__ import annotations

import io
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisft.records.evaluation import Errors

INK, MUTED, BLUE, ORANGE = "#1d2433", "#8a93a5", "#2f6fde", "#e07b39"
STYLE: dict[Any, Any] = {
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


def loss_curve(metrics: list[dict[str, float]]) -> str:
    """Training loss (smoothed beside raw) and validation loss against the step, from rows of metrics.csv."""
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(2.7)
        train = [(row["step"], row["loss"]) for row in metrics if "loss" in row]
        valid = [(row["step"], row["val_loss"]) for row in metrics if "val_loss" in row]
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
        return svg(figure, "Flow loss in training and on held-out episodes against the step")


def statistics(stats: dict[str, dict[str, list[float]]], field: str, names: list[str]) -> str:
    """Per named dim of `field`: the range q01 to q99 as a bar, mean ± std as a point with whiskers, in robot units."""
    with matplotlib.rc_context(STYLE):
        count = min(len(names), len(stats[field]["mean"]))  # statistics of a base may have more dims or fewer
        content = {key: values[:count] for key, values in stats[field].items()}
        figure, axes = blank(0.75 + 0.3 * count)
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
        return svg(figure, f"Statistics of each dim of {field}")


def action_errors(error: Errors) -> str:
    """Mean absolute action error against the step of the chunk, in robot units."""
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(2.2)
        axes.plot(range(1, len(error.per_step) + 1), error.per_step, color=BLUE, marker="o", ms=3)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step of the chunk")
        axes.set_ylabel("mean action error")
        return svg(figure, "Mean absolute action error against the step of the chunk")


def traces(episodes: list[dict[str, Any]]) -> str:
    """Each dim's recorded and predicted actions against the frame, for the first held-out episode."""
    with matplotlib.rc_context(STYLE):
        episode = episodes[0]
        figure = Figure(figsize=(5.2, 0.9 * len(episode["dims"]) + 0.6), layout="constrained")
        rows = figure.subplots(len(episode["dims"]), sharex=True, squeeze=False)[:, 0]
        for i, (axes, name) in enumerate(zip(rows, episode["dims"], strict=True)):
            for kind, color in (("recorded", INK), ("predicted", ORANGE)):
                axes.plot([row[i] for row in episode[kind]], color=color, linewidth=1.0, label=kind)
            axes.set_title(name, loc="left", fontsize=8, pad=2)
        rows[-1].set_xlabel("frame")
        figure.legend(*rows[0].get_legend_handles_labels(), frameon=False, ncols=2, loc="outside upper right")
        return svg(figure, f"Recorded and predicted actions of a held-out episode: {episode['task']}")


def blank(height: float) -> tuple[Figure, Axes]:
    """Create a figure as wide as the page and `height` inches high, with one pair of axes."""
    figure = Figure(figsize=(5.2, height), layout="constrained")
    return figure, figure.add_subplot()


def svg(figure: Figure, title: str) -> str:
    """The figure as SVG text, without date and creator; `title` is read to those who do not see it."""
    buffer = io.StringIO()
    none: Any = None
    figure.savefig(buffer, format="svg", metadata={"Date": none, "Creator": none}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
