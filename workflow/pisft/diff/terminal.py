"""A difference in a few lines for a terminal, the most telling first. Start from `summary`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pisft.records.difference import Changed, Curve, Difference, OpenLoopChange, Shift, SuccessChange, WeightChanges

RED, GREEN, BOLD, DIM, PLAIN = "\033[31m", "\033[32m", "\033[1m", "\033[2m", "\033[0m"
MOST = 12  # lines of a part
Paint = Callable[[str, str], str]  # (colour, text) → text


def summary(content: Difference, color: bool) -> str:
    """The parts that differ, a heading each; `color` for a terminal that shows it."""

    def paint(code: str, text: str) -> str:
        return f"{code}{text}{PLAIN}" if color else text

    lines = [paint(BOLD, f"{content.a} → {content.b}")]
    lines += _part(paint, "only one has it", _parts(content))
    lines += _part(paint, "configuration", _changed(paint, content.config))
    lines += _part(paint, "datasets and base weights", _changed(paint, content.inputs))
    for field, rows in content.norm_stats.items():
        lines += _part(paint, f"statistics of {field}: shifts, in standard deviations", _shifts(rows))
    lines += _part(paint, "weights: relative change", _weights(content.weights))
    lines += _part(paint, "loss", _curves(content.loss))
    lines += _part(paint, "open loop", _open_loop(content.open_loop))
    lines += _part(paint, "success", _success(paint, content.success))
    lines += _part(paint, "packages", _changed(paint, content.packages))
    lines += _part(paint, "arithmetic", _changed(paint, content.arithmetic))
    lines += _part(paint, "code", [row.key for row in content.code])
    lines += _part(paint, "commits that changed it", content.commits)
    return "\n".join(lines if len(lines) > 1 else [*lines, "no difference"])


def _part(paint: Paint, title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [paint(DIM, f"  … and {len(lines) - MOST} more")] if len(lines) > MOST else []
    return ["", paint(BOLD, title), *(f"  {line}" for line in lines[:MOST]), *more]


def _parts(content: Difference) -> list[str]:
    return [f"{row.key}: {content.a if row.a else content.b}" for row in content.parts]


def _changed(paint: Paint, rows: list[Changed]) -> list[str]:
    return [f"{row.key}: {paint(RED, short(row.a))} → {paint(GREEN, short(row.b))}" for row in rows]


def short(value: Any) -> str:
    """A value of a configuration as YAML would have it, in one line; the beginning of a hash; a dash for None."""
    text = "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text[:12]}…" if len(text) == 64 and set(text) <= set("0123456789abcdef") else text


def _shifts(rows: list[Shift]) -> list[str]:
    lines = []
    for row in rows:
        apart = {key: shift for key, shift in row.shifts.items() if shift != 0}
        told = [f"{key} " + ("in one only" if shift is None else f"{shift:+.3f}") for key, shift in apart.items()]
        lines.append(f"{row.name}: " + ("only one has it" if set(apart.values()) == {None} else ", ".join(told)))
    return lines


def _weights(weights: WeightChanges | None) -> list[str]:
    if weights is None or weights.same:
        return []
    rows = [f"{row.layer}: {row.relative_change:.2e}" for row in weights.layers if row.changed]
    still = sum(not row.changed for row in weights.layers)
    only = (("a", weights.only_a), ("b", weights.only_b))
    apart = [f"only in {side}: {len(names)} tensors" for side, names in only if names]
    apart += [f"of another shape: {row.name}, {row.a} and {row.b}" for row in weights.reshaped]
    return [*apart, *([f"{still} of {len(weights.layers)} layers are the same"] if still else []), *rows]


def _curves(curves: tuple[Curve, Curve]) -> list[str]:
    lines = []
    losses = (("in training", [curve.loss for curve in curves]), ("held out", [curve.val_loss for curve in curves]))
    for name, points in losses:
        one, other = map(dict, points)
        if apart := [step for step in sorted(one | other) if one.get(step) != other.get(step)]:
            last = " → ".join(f"{curve[max(curve)]:.4f}" if curve else "–" for curve in (one, other))
            lines.append(f"{name}: {last} at the end, apart since step {apart[0]}")
    return lines


def _open_loop(loop: OpenLoopChange | None) -> list[str]:
    if loop is None or loop.same:
        return []
    errors = [row for row in loop.per_dim if row.a != row.b]
    told = [(row.name, *("–" if error is None else f"{error:.4g}" for error in (row.a, row.b))) for row in errors]
    one, other = loop.flow_loss
    of = " → ".join(dict.fromkeys(loop.of))
    return [
        f"flow loss on {of}: {one:.4f} → {other:.4f}",
        *(f"action error of {name}: {x} → {y}" for name, x, y in told),
    ]


def _success(paint: Paint, success: SuccessChange | None) -> list[str]:
    if success is None or success.same:
        return []
    if success.overall is None:
        return [success.why_not or "not comparable"]
    lines = []
    for name, rate in [("overall", success.overall), *success.tasks.items()]:
        counts = " → ".join(f"{s}/{n}" for s, n in zip(rate.successes, rate.episodes, strict=True))
        low, high = (100 * x for x in rate.interval95)
        difference = paint(GREEN if rate.difference > 0 else RED, f"{100 * rate.difference:+.1f} points")
        lines.append(f"{name}: {counts}, {difference} ({low:+.1f} to {high:+.1f}), p = {rate.p:.2g}, {rate.test}")
    lines += [success.overall.note] if success.overall.note else []
    flips = [("succeed now", success.flips.won), ("fail now", success.flips.lost)] if success.flips else []
    for told, flipped in flips:
        if flipped:
            lines.append(f"{told}: " + ", ".join(f"{flip.task} {flip.seed}" for flip in flipped[:8]))
    return lines
