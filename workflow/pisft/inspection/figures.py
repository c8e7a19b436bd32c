"""Draws the figures of an inspection, as SVG text and data URIs that are reproducible for the same dataset."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from pisft.data.lerobot.camera import open_camera
from pisft.data.lerobot.dataset import LeRobotData
from pisft.inspection.dims import Dim
from pisft.inspection.relation import Relation
from pisft.inspection.sample import Sample
from pisft.report.figures import BLUE, INK, MUTED, ORANGE, STYLE, svg

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

WIDTH = 8.6  # inches
LINE = 220  # points of one episode's trace
THUMBNAIL = 240  # pixels of the longer side
BINS = 40
SMALL = cast(
    "dict[RcKeyType, Any]",
    {**STYLE, "font.size": 7, "axes.titlesize": 8, "axes.titlelocation": "left", "axes.titlecolor": INK},
)


def traces(dims: Sequence[Dim], overlays: Sequence[tuple[str, np.ndarray] | None], sample: Sample, fps: float) -> str:
    """Draw one panel a dim: its values in the shown episodes, in sequence, over an overlay if there is one."""
    with matplotlib.rc_context(SMALL):
        rows = -(-len(dims) // 2)
        figure = Figure(figsize=(WIDTH, 0.5 + 0.95 * rows), layout="constrained")
        panels = figure.subplots(rows, 2, squeeze=False, sharex=True)
        for axes in panels.flat[len(dims) :]:
            axes.set_visible(False)
        for axes, dim, overlay in zip(panels.flat, dims, overlays, strict=False):
            start = 0.0
            for place in sample.shown:
                inside = sample.rows(place)
                stride = -(-(inside.stop - inside.start) // LINE)
                time = start + np.arange(0, inside.stop - inside.start, stride) / fps
                if overlay:
                    axes.plot(time, overlay[1][inside][::stride], color=ORANGE, lw=1.1, label=overlay[0])
                axes.plot(time, dim.values[inside][::stride], color=BLUE, lw=0.9, label=dim.role)
                start += (inside.stop - inside.start) / fps
                if place != sample.shown[-1]:
                    axes.axvline(start, color=MUTED, lw=0.8, ls=(0, (2, 2)))
            axes.set_title(_title(dim, 60), parse_math=False)
            axes.set_xlim(0, start)
            axes.margins(y=0.12)
            axes.locator_params(axis="y", nbins=3)
        for axes in panels[-1]:
            axes.set_xlabel("s")
        lines: dict[str, Artist] = {}
        for axes in panels.flat[: len(dims)]:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                lines.setdefault(label, handle)
        figure.legend(list(lines.values()), list(lines), frameon=False, ncols=len(lines), loc="outside upper right")
        return svg(figure, f"Traces of each dim of {dims[0].role} in {len(sample.shown)} episodes")


def overlay(relation: Relation, sample: Sample) -> tuple[str, np.ndarray] | None:
    """Return label and values to draw an action over: the state of a target or a gripper, or the scaled state steps."""
    action, state = relation.action, relation.state
    if state is None:
        return None
    alike = state.high > state.low and 0.2 < (action.high - action.low) / (state.high - state.low) < 5
    if relation.same_units or (action.gripper and alike):
        return "state", state.values
    if relation.verdict == "delta" and relation.by == "data":
        steps = np.where(sample.last, np.nan, np.append(np.diff(state.values), np.nan))
        return "state[t+1] − state[t], to scale", relation.beta * steps
    return None


def histograms(dims: Sequence[Dim]) -> str:
    """Draw one panel a dim: the histogram of its values, with q01 and q99."""
    with matplotlib.rc_context(SMALL):
        columns = 4
        rows = -(-len(dims) // columns)
        figure = Figure(figsize=(WIDTH, 0.45 + 0.95 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.flat[len(dims) :]:
            axes.set_visible(False)
        line: Line2D | None = None
        for axes, dim in zip(panels.flat, dims, strict=False):
            values = dim.values[np.isfinite(dim.values)]
            if dim.constant:
                axes.axvline(dim.low, color=BLUE, lw=2)
            else:
                counts, edges = np.histogram(values, BINS)
                axes.stairs(counts, edges, fill=True, color="#9dbcf3")
                for quantile in (dim.q01, dim.q99):
                    line = axes.axvline(quantile, color=ORANGE, lw=1.1, ls=(0, (3, 2)), label="q01 and q99")
            axes.set_title(_title(dim, 28), parse_math=False)
            axes.set_yticks([])
            axes.grid(visible=False)
            axes.spines["left"].set_visible(False)
            axes.locator_params(axis="x", nbins=4)
        if line is not None:
            figure.legend([line], ["q01 and q99"], frameon=False, loc="outside upper right")
        return svg(figure, f"Histogram of each dim of {dims[0].role}")


def lengths(frames: np.ndarray, fps: float) -> str:
    """Draw the histogram of the episodes' lengths (s)."""
    with matplotlib.rc_context(cast("dict[RcKeyType, Any]", STYLE)):
        figure = Figure(figsize=(5.2, 1.9), layout="constrained")
        axes = figure.add_subplot()
        counts, edges = np.histogram(frames / fps, min(BINS, len(np.unique(frames)) + 1))
        axes.stairs(counts, edges, fill=True, color="#9dbcf3")
        axes.set_xlabel("length of an episode / s")
        axes.set_ylabel("episodes")
        cast(MaxNLocator, axes.yaxis.get_major_locator()).set_params(integer=True)
        return svg(figure, "Histogram of the episodes' lengths")


def images(data: LeRobotData, key: str, episodes: Sequence[int]) -> list[dict]:
    """Return first, middle and last image of some episodes as data URIs; raises `DataError` for undecodable ones."""
    camera = open_camera(data, key)
    try:
        shown = []
        for episode in episodes:
            rows = data.rows(episode)
            for row in dict.fromkeys((rows[0], rows[len(rows) // 2], rows[-1])):
                shown.append({"episode": episode, "frame": row - rows[0], "uri": _jpeg(camera.image(row))})
        return shown
    finally:
        camera.close()


def _title(dim: Dim, longest: int) -> str:
    """Return a dim's place and name, shortened at its beginning."""
    name = dim.name if len(dim.name) <= longest else f"…{dim.name[1 - longest :]}"
    return f"{dim.place} · {name}"


def _jpeg(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
