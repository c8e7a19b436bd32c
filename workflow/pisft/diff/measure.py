"""What differs between two sides, as diff.json holds it. Start from `measure`; `differ` says whether anything does."""

from __future__ import annotations

from typing import Any

from pisft.diff.revision import commits
from pisft.diff.side import STAGES, Side
from pisft.diff.weights import changes
from pisft.errors import PisftError
from pisft.evaluate.compare import Comparison, compare

UNNAMED = ("name", "recipe", "cluster", "logging", "published")  # of a configuration: no result depends on them
STATISTICS = ("mean", "std", "q01", "q99")
JUDGED = ("norm_stats.json", "checkpoint/model.safetensors", "eval.json", "eval.json: closed_loop")  # by a tolerance


def measure(a: Side, b: Side) -> dict[str, Any]:
    """diff.json's content: only what differs, but for curves and rates, which are of both. Raises `PisftError`."""
    return {
        "a": a.label,
        "b": b.label,
        "parts": _rows(_parts(a), _parts(b)),
        "config": _rows(_flat(_without(a.config)), _flat(_without(b.config))),
        "inputs": _rows(_inputs(a), _inputs(b)),
        "norm_stats": _norm_stats(a, b),
        "weights": changes(a.weights, b.weights) if a.weights.is_file() and b.weights.is_file() else None,
        "loss": [_curve(side) for side in (a, b)],
        "open_loop": _open_loop(a, b),
        "success": _success(a, b),
        "packages": _made_with("packages", a, b),
        "code": (code := _made_with("code", a, b)),
        "commits": commits(a.commit, b.commit, [row["key"].split(": ")[-1] for row in code]),
    }


def differ(content: dict[str, Any], tolerance: float | None = None) -> bool:
    """Whether anything is not the same; with a `tolerance`, whether what came out is further apart than that."""
    if tolerance is not None:
        return _further_apart(content, tolerance)
    one, other = content["loss"]
    same = [section["same"] for key in ("weights", "open_loop", "success") if (section := content[key])]
    rows = [content[key] for key in ("parts", "config", "inputs", "norm_stats", "packages", "code")]
    return any(rows) or one != other or not all(same)


def _further_apart(content: dict[str, Any], tolerance: float) -> bool:
    """Statistics, weights by layer and the held-out loss may be as far apart (relative), and success may be told
    apart by no test at 5 %: overall, or of a task, by Bonferroni's correction for their number. What one side lacks,
    and what cannot be compared, is no closer than anything."""
    distances = [row["distance"] for rows in content["norm_stats"].values() for row in rows]
    if weights := content["weights"]:
        distances += [row["relative_change"] for row in weights["layers"]]
        distances += [None for key in ("only_a", "only_b", "reshaped") if weights[key]]
    if loop := content["open_loop"]:
        one, other = loop["flow_loss"]
        distances.append(abs(other - one) / max(abs(one), 1e-12))
    success = content["success"]
    told_apart = success is not None and (success["p"] is None or _told_apart(success))
    lacking = any(row["key"] in JUDGED for row in content["parts"])
    return lacking or told_apart or any(distance is None or not distance <= tolerance for distance in distances)


def _told_apart(success: dict[str, Any]) -> bool:
    of_tasks = [rate["p"] for rate in success["tasks"].values()]
    return success["p"] < 0.05 or min(of_tasks) * len(of_tasks) < 0.05


def _parts(side: Side) -> dict[str, str]:
    """What of a result is there to be compared."""
    found = {
        "norm_stats.json": side.norm_stats,
        "checkpoint/model.safetensors": side.weights.is_file(),
        "metrics.csv": side.metrics,
        "eval.json": side.evaluation,
        "eval.json: closed_loop": side.evaluation and side.evaluation["closed_loop"],
    }
    found |= {f"provenance/{stage}.json": side.provenance.get(stage) for stage in STAGES}
    return {part: "there" for part, content in found.items() if content}


def _without(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in UNNAMED}


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """{a: {b: 1}} as {a.b: 1}; lists of plain values stay whole."""
    if isinstance(content, dict) and content:
        return {k: v for key, value in content.items() for k, v in _flat(value, f"{prefix}{key}.").items()}
    if isinstance(content, list) and any(isinstance(item, (dict, list)) for item in content):
        return {k: v for i, value in enumerate(content) for k, v in _flat(value, f"{prefix}{i}.").items()}
    return {prefix.rstrip("."): content}


def _rows(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
    """{key, a, b} of what is not the same; None for what one does not have."""
    keys = [*a, *(key for key in b if key not in a)]
    return [{"key": key, "a": a.get(key), "b": b.get(key)} for key in keys if a.get(key) != b.get(key)]


def _inputs(side: Side) -> dict[str, str]:
    """Datasets and base weights by the keys that they had when the checkpoint was made from them."""
    record = side.provenance.get("train", {})
    parents = {path: key for path, key in record.get("parents", {}).items() if not path.startswith("results/")}
    return parents | record.get("pins", {})


def _made_with(what: str, a: Side, b: Side) -> list[dict[str, Any]]:
    """Rows of the `packages` or the `code` of the stages that both have a record of; named `<stage>: <name>` where the
    stages of a side were not made with the same."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}  # name → stage → row
    for stage in STAGES:
        if stage in a.provenance and stage in b.provenance:
            one, other = (side.provenance[stage].get(what, {}) for side in (a, b))
            for name in {**one, **other}:
                rows.setdefault(name, {})[stage] = {"a": one.get(name), "b": other.get(name)}
    found = []
    for name, stages in rows.items():
        if len({(row["a"], row["b"]) for row in stages.values()}) == 1:
            stages = {"": next(iter(stages.values()))}
        found += [
            {"key": f"{stage}: {name}" if stage else name, **row}
            for stage, row in stages.items()
            if row["a"] != row["b"]
        ]
    return found


def _norm_stats(a: Side, b: Side) -> dict[str, list[dict[str, Any]]]:
    """Of state and actions, the dims that differ, the furthest apart first: `shifts` of their statistics in standard
    deviations of a, and the largest of them as `distance`; None where only one has the statistic."""
    if a.norm_stats is None or b.norm_stats is None:
        return {}
    found = {}
    for field in ("state", "actions"):
        one, other = a.norm_stats[field], b.norm_stats[field]
        names = max(a.names(field), b.names(field), key=len)
        rows = []
        for dim in range(max(len(one["mean"]), len(other["mean"]))):
            values = {key: [_at(one.get(key), dim), _at(other.get(key), dim)] for key in STATISTICS}
            if all(x == y for x, y in values.values()):
                continue
            scale = max(abs(values["std"][0] or 0.0), 1e-6)
            shifts = {key: _shift(x, y, scale) for key, (x, y) in values.items()}
            distance = None if None in shifts.values() else max(map(abs, shifts.values()))
            name = names[dim] if dim < len(names) else str(dim)
            rows.append({"dim": dim, "name": name, **values, "shifts": shifts, "distance": distance})
        if rows:
            furthest = float("inf")
            found[field] = sorted(rows, key=lambda row: -(furthest if row["distance"] is None else row["distance"]))
    return found


def _shift(x: float | None, y: float | None, scale: float) -> float | None:
    if x is None or y is None:
        return 0.0 if x is y else None
    return (y - x) / scale


def _at(values: list[float] | None, dim: int) -> float | None:
    return values[dim] if values is not None and dim < len(values) else None


def _curve(side: Side) -> dict[str, list[list[float]]]:
    return {key: [[int(row["step"]), row[key]] for row in side.metrics if key in row] for key in ("loss", "val_loss")}


def _open_loop(a: Side, b: Side) -> dict[str, Any] | None:
    if a.evaluation is None or b.evaluation is None:
        return None
    one, other = a.evaluation["open_loop"], b.evaluation["open_loop"]
    first, second = (loop.get("action_error", {}).get("robot", {}).get("per_dim", {}) for loop in (one, other))
    return {
        "same": one == other,
        "of": ["held-out episodes" if loop.get("held_out", True) else "training episodes" for loop in (one, other)],
        "flow_loss": [one["flow_loss"], other["flow_loss"]],
        "per_dim": [{"name": name, "a": first.get(name), "b": second.get(name)} for name in {**first, **second}],
    }


def _success(a: Side, b: Side) -> dict[str, Any] | None:
    """Overall and by task; `why_not` where the two did not do the same thing, None where one was not rolled out."""
    loops = [side.evaluation and side.evaluation["closed_loop"] for side in (a, b)]
    if not all(loops):
        return None
    try:
        overall = compare(a.evaluation, b.evaluation)
    except PisftError as error:
        return {"same": False, "why_not": str(error), "flips": None, "p": None}
    tasks = {task: _told(compare(a.evaluation, b.evaluation, [task])) for task in loops[0]["protocol"]["tasks"]}
    known = [{(e["task"], e["seed"]): e for e in loop["episodes"]} for loop in loops]
    flips = overall.flips and {
        kind: [
            {"task": task, "seed": seed, "videos": [by_episode[task, seed]["video"] for by_episode in known]}
            for task, seed in episodes
        ]
        for kind, episodes in overall.flips.items()
    }
    return {"same": loops[0] == loops[1], "why_not": None, **_told(overall), "tasks": tasks, "flips": flips}


def _told(found: Comparison) -> dict[str, Any]:
    return {
        "successes": list(found.successes),
        "episodes": list(found.episodes),
        "difference": found.difference,
        "interval95": list(found.interval95),
        "p": found.p,
        "test": found.test,
        "note": found.note,
    }
