"""Compares two experiments. Start from `measure`; `differ` says whether anything does."""

from __future__ import annotations

from typing import Any, Literal

from pisft.diff.revision import commits
from pisft.diff.side import STAGES, Side
from pisft.diff.weights import changes
from pisft.errors import PisftError
from pisft.evaluate.compare import Comparison, compare
from pisft.records.difference import (
    Changed,
    Curve,
    Difference,
    DimErrors,
    Flip,
    Flips,
    OpenLoopChange,
    RateChange,
    Shift,
    SuccessChange,
)
from pisft.records.evaluation import OpenLoop

UNNAMED = ("name", "recipe", "cluster", "logging", "published")  # of a configuration: no result depends on them
STATISTICS = ("mean", "std", "q01", "q99")
LOSSES = ("loss", "val_loss")
JUDGED = ("norm_stats.json", "checkpoint/model.safetensors", "eval.json", "eval.json: closed_loop")  # by a tolerance


def measure(a: Side, b: Side) -> Difference:
    """Compare two experiments; raises `PisftError`."""
    code = _made_with("code", a, b)
    return Difference(
        a=a.label,
        b=b.label,
        parts=_rows(_parts(a), _parts(b)),
        config=_rows(_flat(_without(a.config)), _flat(_without(b.config))),
        inputs=_rows(_inputs(a), _inputs(b)),
        norm_stats=_norm_stats(a, b),
        weights=changes(a.weights, b.weights) if a.weights.is_file() and b.weights.is_file() else None,
        loss=(_curve(a), _curve(b)),
        open_loop=_open_loop(a, b),
        success=_success(a, b),
        packages=_made_with("packages", a, b),
        arithmetic=_rows(_arithmetic(a), _arithmetic(b)),
        code=code,
        commits=commits(a.commit, b.commit, [row.key.split(": ")[-1] for row in code]),
    )


def differ(content: Difference, tolerance: float | None = None) -> bool:
    """Whether anything is not the same; with a `tolerance`, whether what came out is further apart than that."""
    if tolerance is not None:
        return _further_apart(content, tolerance)
    one, other = content.loss
    sections = (content.weights, content.open_loop, content.success)
    rows = (content.parts, content.config, content.inputs, content.norm_stats, content.packages)
    rows += (content.arithmetic, content.code)
    return any(rows) or one != other or not all(section.same for section in sections if section)


def _further_apart(content: Difference, tolerance: float) -> bool:
    """Statistics, weights by layer and the held-out loss may be as far apart (relative), and success may be told
    apart by no test at 5 %: overall, or of a task, by Bonferroni's correction for their number. What one side lacks,
    and what cannot be compared, is no closer than anything."""
    distances = [row.distance for rows in content.norm_stats.values() for row in rows]
    if weights := content.weights:
        distances += [row.relative_change for row in weights.layers]
        distances += [None for found in (weights.only_a, weights.only_b, weights.reshaped) if found]
    if loop := content.open_loop:
        one, other = loop.flow_loss
        distances.append(abs(other - one) / max(abs(one), 1e-12))
    told_apart = content.success is not None and _told_apart(content.success)
    lacking = any(row.key in JUDGED for row in content.parts)
    return lacking or told_apart or any(distance is None or not distance <= tolerance for distance in distances)


def _told_apart(success: SuccessChange) -> bool:
    if success.overall is None:
        return True
    of_tasks = [rate.p for rate in success.tasks.values()]
    return success.overall.p < 0.05 or min(of_tasks) * len(of_tasks) < 0.05


def _parts(side: Side) -> dict[str, str]:
    """What of a result is there to be compared."""
    found = {
        "norm_stats.json": side.norm_stats,
        "checkpoint/model.safetensors": side.weights.is_file(),
        "metrics.csv": side.metrics,
        "eval.json": side.evaluation,
        "eval.json: closed_loop": side.evaluation and side.evaluation.closed_loop,
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


def _rows(a: dict[str, Any], b: dict[str, Any]) -> list[Changed]:
    """List what is not the same; None for what one does not have."""
    keys = [*a, *(key for key in b if key not in a)]
    return [Changed(key=key, a=a.get(key), b=b.get(key)) for key in keys if a.get(key) != b.get(key)]


def _inputs(side: Side) -> dict[str, str]:
    """Datasets and base weights by the keys that they had when the checkpoint was made from them."""
    record = side.provenance.get("train")
    if record is None:
        return {}
    return {path: key for path, key in record.parents.items() if not path.startswith("results/")} | record.pins


def _arithmetic(side: Side) -> dict[str, str]:
    """What each stage computed with, where that was noted."""
    return {stage: record.arithmetic for stage, record in side.provenance.items() if record.arithmetic}


def _made_with(what: Literal["packages", "code"], a: Side, b: Side) -> list[Changed]:
    """Compare the `packages` or the `code` of the stages that both have a record of; rows are named `<stage>: <name>`
    where the stages of a side were not made with the same."""
    by_name: dict[str, dict[str, tuple[str | None, str | None]]] = {}  # name → stage → in a, in b
    for stage in STAGES:
        if stage in a.provenance and stage in b.provenance:
            one, other = (getattr(side.provenance[stage], what) for side in (a, b))
            for name in {**one, **other}:
                by_name.setdefault(name, {})[stage] = one.get(name), other.get(name)
    found = []
    for name, stages in by_name.items():
        if len(set(stages.values())) == 1:
            stages = {"": next(iter(stages.values()))}
        found += [
            Changed(key=f"{stage}: {name}" if stage else name, a=one, b=other)
            for stage, (one, other) in stages.items()
            if one != other
        ]
    return found


def _norm_stats(a: Side, b: Side) -> dict[str, list[Shift]]:
    """List the dims of state and actions whose statistics differ, the furthest apart first."""
    if a.norm_stats is None or b.norm_stats is None:
        return {}
    found = {}
    for field in ("state", "actions"):
        one, other = a.norm_stats[field], b.norm_stats[field]
        names = max(a.names(field), b.names(field), key=len)
        rows = []
        for dim in range(max(len(one["mean"]), len(other["mean"]))):
            values = {key: (_at(one.get(key), dim), _at(other.get(key), dim)) for key in STATISTICS}
            if all(x == y for x, y in values.values()):
                continue
            scale = max(abs(values["std"][0] or 0.0), 1e-6)
            shifts = {key: _shift(x, y, scale) for key, (x, y) in values.items()}
            known = [abs(shift) for shift in shifts.values() if shift is not None]
            distance = max(known) if len(known) == len(shifts) else None
            name = names[dim] if dim < len(names) else str(dim)
            rows.append(Shift(dim=dim, name=name, **values, shifts=shifts, distance=distance))
        if rows:
            furthest = float("inf")
            found[field] = sorted(rows, key=lambda row: -(furthest if row.distance is None else row.distance))
    return found


def _shift(x: float | None, y: float | None, scale: float) -> float | None:
    if x is None or y is None:
        return 0.0 if x is y else None
    return (y - x) / scale


def _at(values: list[float] | None, dim: int) -> float | None:
    return values[dim] if values is not None and dim < len(values) else None


def _curve(side: Side) -> Curve:
    loss, val_loss = ([(int(row["step"]), row[key]) for row in side.metrics if key in row] for key in LOSSES)
    return Curve(loss=loss, val_loss=val_loss)


def _open_loop(a: Side, b: Side) -> OpenLoopChange | None:
    if a.evaluation is None or b.evaluation is None:
        return None
    one, other = a.evaluation.open_loop, b.evaluation.open_loop
    first, second = (loop.action_error.robot.per_dim for loop in (one, other))
    return OpenLoopChange(
        same=one == other,
        of=(_of(one), _of(other)),
        flow_loss=(one.flow_loss, other.flow_loss),
        per_dim=[DimErrors(name=name, a=first.get(name), b=second.get(name)) for name in {**first, **second}],
    )


def _of(loop: OpenLoop) -> str:
    return "held-out episodes" if loop.held_out else "training episodes"


def _success(a: Side, b: Side) -> SuccessChange | None:
    """Compare success overall and by task; None where one was not rolled out."""
    if a.evaluation is None or b.evaluation is None:
        return None
    one, other = a.evaluation.closed_loop, b.evaluation.closed_loop
    if one is None or other is None:
        return None
    try:
        overall = compare(a.evaluation, b.evaluation)
    except PisftError as error:
        return SuccessChange(same=False, why_not=str(error))
    tasks = {task: _told(compare(a.evaluation, b.evaluation, [task])) for task in one.protocol.tasks}
    first, second = ({(e.task, e.seed): e.video for e in loop.episodes} for loop in (one, other))
    flips = None
    if overall.flips is not None:
        won, lost = (
            [Flip(task=task, seed=seed, videos=(first[task, seed], second[task, seed])) for task, seed in episodes]
            for episodes in (overall.flips["won"], overall.flips["lost"])
        )
        flips = Flips(won=won, lost=lost)
    return SuccessChange(same=one == other, overall=_told(overall), tasks=tasks, flips=flips)


def _told(found: Comparison) -> RateChange:
    return RateChange(
        successes=found.successes,
        episodes=found.episodes,
        difference=found.difference,
        interval95=found.interval95,
        p=found.p,
        test=found.test,
        note=found.note,
    )
