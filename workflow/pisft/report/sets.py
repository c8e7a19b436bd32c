"""What several experiments came to, as the rows of a table. Start from `paper_rows` and `sweep_rows`.

An experiment that nobody has run yet has its row too, with what was published and without results.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from pisft.config import load_paper, resolve, sweep_members
from pisft.config.experiment import Resolved
from pisft.config.sweep import SEED
from pisft.errors import PisftError
from pisft.evaluate.compare import LENGTH, MEAN, Mean, beside_published, over_suites
from pisft.evaluate.intervals import mean95, wilson95
from pisft.records.evaluation import ClosedLoop, Evaluation, Rate, loss_name

Row = dict[str, Any]
OURS = ("episodes", "successes", "ours", "ours_low", "ours_high")
THEIRS = ("published", "published_low", "published_high", "difference", "difference_low", "difference_high", "source")
PAPER = ("experiment", "label", "measure", "state", *OURS, *THEIRS)
MEASURED, NOT_RUN, NOT_MEASURED = "measured", "not yet run", "not measured here"  # a row's `state`


def paper_rows(name: str, root: Path = Path()) -> list[Row]:
    """A row for each suite of each experiment of the paper `name`, and for the mean over several; where several sources
    report a suite, a row for each. None for what is not known: all of `ours` where the experiment has not been run or
    its evaluation has no such measure (`state` tells which), all of `published` where nothing was."""
    rows = []
    for exp, label in load_paper(name, root).experiments.items():
        config, evaluation = resolve(exp, root), _evaluation(exp, root)
        if evaluation and not _is_of(config, evaluation):
            evaluation = None
        for values in _measures(config, evaluation):
            row = dict.fromkeys(PAPER) | {"experiment": exp, "label": label} | values
            row["state"] = MEASURED if row["ours"] is not None else NOT_MEASURED if evaluation else NOT_RUN
            rows.append(row)
    return rows


def sweep_rows(name: str, root: Path = Path()) -> tuple[list[Row], list[Row]]:
    """(a row for each combination of values but for the seeds, a row for each experiment) of the sweep `name`.

    Of a combination: the mean over its seeds with Student's 95 % interval, which is of training again from another
    seed, and the pooled episodes with Wilson's, which is of these checkpoints. Seeds that came to the same say nothing
    of how far others would be apart: no interval. Raises `PisftError`.
    """
    members = sweep_members(name, root)
    measure, runs = loss_name(), []
    for exp, values in members.items():
        evaluation = _evaluation(exp, root)
        if evaluation is None:
            raise PisftError(f"results/{exp}/eval.json: is missing; run: snakemake results/sweeps/{name}/table.csv")
        rate = evaluation.closed_loop.overall if evaluation.closed_loop else None
        measure = "success" if rate else evaluation.loss_name
        ours = {
            "value": rate.success if rate else evaluation.open_loop.flow_loss,
            "successes": rate.successes if rate else None,
            "episodes": rate.episodes if rate else None,
        }
        runs.append({"experiment": exp, **values, "measure": measure, **ours})
    axes = [key for key in next(iter(members.values())) if key != SEED]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for run in runs:
        groups.setdefault(tuple(run[key] for key in axes), []).append(run)
    table = [dict(zip(axes, chosen, strict=True)) | _pooled(measure, group) for chosen, group in groups.items()]
    return table, runs


def _pooled(measure: str, group: list[Row]) -> Row:
    values = [run["value"] for run in group]
    low, high = (mean95(values) if len(set(values)) > 1 else None) or (None, None)
    if low is not None and high is not None and measure == "success":
        low, high = max(low, 0.0), min(high, 1.0)
    row: Row = {"measure": measure, "runs": len(group), "mean": fmean(values), "low": low, "high": high}
    row |= {"least": min(values), "most": max(values)}
    if group[0]["episodes"] is None:
        return row
    successes, episodes = (sum(run[key] for run in group) for key in ("successes", "episodes"))
    pooled_low, pooled_high = wilson95(successes, episodes)
    return row | {"successes": successes, "episodes": episodes, "pooled_low": pooled_low, "pooled_high": pooled_high}


def _is_of(config: Resolved, evaluation: Evaluation) -> bool:
    """Whether all suites of `config` were rolled out; an evaluation from before one was named is another one."""
    suites = config.eval.closed_loop.suites if config.eval.closed_loop else []
    return set(suites) <= set(evaluation.closed_loop.suites if evaluation.closed_loop else ())


def _measures(config: Resolved, evaluation: Evaluation | None) -> list[Row]:
    closed = evaluation.closed_loop if evaluation else None
    rows: dict[str, Row] = {}
    if config.eval.closed_loop:
        suites = config.eval.closed_loop.suites
        for suite in suites:
            rows[suite] = _rate(closed.suites[suite]) if closed else {}
        if len(suites) > 1:
            rows[MEAN] = _rate(over_suites(closed)) if closed else {}
    else:
        name = evaluation.loss_name if evaluation else loss_name()
        rows[name] = {"ours": evaluation.open_loop.flow_loss if evaluation else None}
    theirs: dict[str, list[Row]] = {}
    for measure, row in _published(config, closed):
        theirs.setdefault(measure, []).append(row)
    return [
        {"measure": measure} | rows.get(measure, {}) | row
        for measure in dict.fromkeys([*rows, *theirs])
        for row in theirs.get(measure, [{}])
    ]


def _rate(rate: Rate | Mean) -> Row:
    low, high = rate.wilson95 if isinstance(rate, Rate) else rate.interval95
    return dict(zip(OURS, (rate.episodes, rate.successes, rate.success, low, high), strict=True))


def _published(config: Resolved, closed: ClosedLoop | None) -> Iterator[tuple[str, Row]]:
    for reported in config.published.each() if config.published else ():
        for row in beside_published(closed, reported):
            values = (row.published.value, *(row.published.interval95 or (None, None)), row.difference)
            found: Row = dict(zip(THEIRS, (*values, *(row.interval95 or (None, None)), row.source), strict=True))
            if row.measure in (LENGTH, MEAN) and row.ours:
                low, high = row.ours.interval95 or (None, None)
                found |= {"ours": row.ours.value, "ours_low": low, "ours_high": high}
            yield row.measure, found


def _evaluation(exp: str, root: Path) -> Evaluation | None:
    path = root / f"results/{exp}" / Evaluation.name_of_file
    return Evaluation.read(path) if path.is_file() else None
