"""A difference in a few lines for a terminal, the most telling first. Start from `summary`."""

from __future__ import annotations

import json
from typing import Any

RED, GREEN, BOLD, DIM, PLAIN = "\033[31m", "\033[32m", "\033[1m", "\033[2m", "\033[0m"
MOST = 12  # lines of a part


def summary(content: dict[str, Any], color: bool) -> str:
    """The parts that differ, a heading each; `color` for a terminal that shows it."""
    paint = (lambda code, text: f"{code}{text}{PLAIN}") if color else (lambda code, text: text)
    lines = [paint(BOLD, f"{content['a']} → {content['b']}")]
    lines += _part(paint, "only one has it", _parts(content))
    lines += _part(paint, "configuration", _changed(paint, content["config"]))
    lines += _part(paint, "datasets and base weights", _changed(paint, content["inputs"]))
    for field, rows in content["norm_stats"].items():
        lines += _part(paint, f"statistics of {field}: shifts, in standard deviations", _shifts(rows))
    lines += _part(paint, "weights: relative change", _weights(content["weights"]))
    lines += _part(paint, "loss", _curves(content["loss"]))
    lines += _part(paint, "open loop", _open_loop(content["open_loop"]))
    lines += _part(paint, "success", _success(paint, content["success"]))
    lines += _part(paint, "packages", _changed(paint, content["packages"]))
    lines += _part(paint, "code", [row["key"] for row in content["code"]])
    lines += _part(paint, "commits that touched it", content["commits"])
    return "\n".join(lines if len(lines) > 1 else [*lines, "no difference"])


def _part(paint, title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [paint(DIM, f"  … and {len(lines) - MOST} more")] if len(lines) > MOST else []
    return ["", paint(BOLD, title), *(f"  {line}" for line in lines[:MOST]), *more]


def _parts(content: dict[str, Any]) -> list[str]:
    return [f"{row['key']}: {content['a' if row['a'] else 'b']}" for row in content["parts"]]


def _changed(paint, rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['key']}: {paint(RED, short(row['a']))} → {paint(GREEN, short(row['b']))}" for row in rows]


def short(value: Any) -> str:
    """A value of a configuration as YAML would have it, in one line; the beginning of a hash; a dash for None."""
    text = "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text[:12]}…" if len(text) == 64 and set(text) <= set("0123456789abcdef") else text


def _shifts(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        apart = {key: shift for key, shift in row["shifts"].items() if shift != 0}
        told = [f"{key} " + ("in one only" if shift is None else f"{shift:+.3f}") for key, shift in apart.items()]
        lines.append(f"{row['name']}: " + ("only one has it" if set(apart.values()) == {None} else ", ".join(told)))
    return lines


def _weights(weights: dict[str, Any] | None) -> list[str]:
    if weights is None or weights["same"]:
        return []
    rows = [f"{row['layer']}: {row['relative_change']:.2e}" for row in weights["layers"] if row["changed"]]
    still = sum(not row["changed"] for row in weights["layers"])
    apart = [f"only in {side}: {len(weights[key])} tensors" for side, key in (("a", "only_a"), ("b", "only_b"))]
    apart = [line for line, key in zip(apart, ("only_a", "only_b"), strict=True) if weights[key]]
    apart += [f"of another shape: {row['name']}, {row['a']} and {row['b']}" for row in weights["reshaped"]]
    return [*apart, *([f"{still} of {len(weights['layers'])} layers are the same"] if still else []), *rows]


def _curves(curves: list[dict[str, list[list[float]]]]) -> list[str]:
    lines = []
    for key, name in (("loss", "in training"), ("val_loss", "held out")):
        one, other = ({int(step): value for step, value in curve[key]} for curve in curves)
        if apart := [step for step in sorted(one | other) if one.get(step) != other.get(step)]:
            last = " → ".join(f"{curve[max(curve)]:.4f}" if curve else "–" for curve in (one, other))
            lines.append(f"{name}: {last} at the end, apart since step {apart[0]}")
    return lines


def _open_loop(loop: dict[str, Any] | None) -> list[str]:
    if loop is None or loop["same"]:
        return []
    errors = [row for row in loop["per_dim"] if row["a"] != row["b"]]
    told = [(row["name"], *("–" if row[side] is None else f"{row[side]:.4g}" for side in "ab")) for row in errors]
    one, other = loop["flow_loss"]
    of = " → ".join(dict.fromkeys(loop["of"]))
    return [
        f"flow loss on {of}: {one:.4f} → {other:.4f}",
        *(f"action error of {name}: {x} → {y}" for name, x, y in told),
    ]


def _success(paint, success: dict[str, Any] | None) -> list[str]:
    if success is None or success["same"]:
        return []
    if success["why_not"]:
        return [success["why_not"]]
    lines = []
    for name, rate in [("overall", success), *success["tasks"].items()]:
        counts = " → ".join(f"{s}/{n}" for s, n in zip(rate["successes"], rate["episodes"], strict=True))
        low, high = (100 * x for x in rate["interval95"])
        difference = paint(GREEN if rate["difference"] > 0 else RED, f"{100 * rate['difference']:+.1f} points")
        lines.append(f"{name}: {counts}, {difference} ({low:+.1f} to {high:+.1f}), p = {rate['p']:.2g}, {rate['test']}")
    lines += [success["note"]] if success["note"] else []
    for kind, told in (("won", "succeed now"), ("lost", "fail now")):
        if flipped := (success["flips"] or {}).get(kind):
            lines.append(f"{told}: " + ", ".join(f"{e['task']} {e['seed']}" for e in flipped[:8]))
    return lines
