"""Whether one experiment's policy succeeds more often than another's. Start from `compare`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Any

from pisft.config.evaluation import Published
from pisft.errors import PisftError
from pisft.evaluate.intervals import between95, difference95, fisher, paired, paired_difference95, wilson95
from pisft.records.evaluation import ClosedLoop, Evaluation, Interval, Rate

# What two protocols may differ in and still be of the same thing; the rest makes an episode what it is. Packages decide
# what a seed stands for.
FREE = {
    "suites", "packages", "replan_steps", "batch_size", "episodes_per_task", "seeds", "render", "sampling_steps"
}  # fmt: skip


MEAN, LENGTH = "mean over suites", "average length"  # measures that are of no one suite


@dataclass(frozen=True)
class Comparison:
    """Success rate b − rate a. `flips` are the episodes (task, seed) on which one alone succeeded, where both ran the
    same ones; None where they did not, and the test is an unpaired one, for which `note` says why where it is not plain
    from the seeds."""

    episodes: tuple[int, int]
    successes: tuple[int, int]
    difference: float
    interval95: tuple[float, float]
    p: float
    flips: dict[str, list[tuple[str, int]]] | None
    note: str | None = None

    @property
    def test(self) -> str:
        """The name of the test that gave `p`."""
        return "Fisher's exact" if self.flips is None else "McNemar's exact"


def compare(a: Evaluation, b: Evaluation, tasks: Iterable[str] | None = None) -> Comparison:
    """Compare the success of two evaluations on `tasks` (all, by default).

    Raises `PisftError` where they ran under different protocols.
    """
    one, other = (_outcomes(evaluation, tasks) for evaluation in (a, b))
    ours, theirs = (_conditions(evaluation) for evaluation in (a, b))
    different = sorted(key for key in (ours | theirs).keys() - FREE if ours.get(key) != theirs.get(key))
    if different:
        raise PisftError(
            f"{a.experiment} and {b.experiment} ran under different protocols: {', '.join(different)} differ; "
            "evaluate both with the same eval.closed_loop"
        )
    successes, episodes = (sum(one.values()), sum(other.values())), (len(one), len(other))
    note = _other_packages(ours["packages"], theirs["packages"])
    if note or one.keys() != other.keys():
        low, high = difference95(successes[1], episodes[1], successes[0], episodes[0])
        p, flips = fisher(successes[0], episodes[0], successes[1], episodes[1]), None
    else:
        flips = {
            "won": sorted(key for key in one if other[key] and not one[key]),
            "lost": sorted(key for key in one if one[key] and not other[key]),
        }
        both = sum(one[key] and other[key] for key in one)
        won, lost = len(flips["won"]), len(flips["lost"])
        low, high = paired_difference95(both, won, lost, len(one) - both - won - lost)
        p = paired(won, lost)
    rates = [s / n if n else 0.0 for s, n in zip(successes, episodes, strict=True)]
    return Comparison(episodes, successes, rates[1] - rates[0], (low, high), p, flips, note)


def _closed(evaluation: Evaluation) -> ClosedLoop:
    if evaluation.closed_loop is None:
        raise PisftError(f"{evaluation.experiment}: eval.json has no closed loop, and so no success to compare")
    return evaluation.closed_loop


def _outcomes(evaluation: Evaluation, tasks: Iterable[str] | None) -> dict[tuple[str, int], bool]:
    chosen = None if tasks is None else set(tasks)
    episodes = _closed(evaluation).episodes
    return {(e.task, e.seed): e.success for e in episodes if chosen is None or e.task in chosen}


def _conditions(evaluation: Evaluation) -> dict[str, Any]:
    """The protocol as one mapping, the simulator's own settings among the rest."""
    protocol = _closed(evaluation).protocol.model_dump()
    return protocol | protocol.pop("settings")


def _other_packages(ours: dict[str, str], theirs: dict[str, str]) -> str | None:
    """Why episodes are not paired by their seeds, where the simulator's packages differ."""
    changed = [f"{k} {ours.get(k)}, {theirs.get(k)}" for k in sorted(ours | theirs) if ours.get(k) != theirs.get(k)]
    if not changed:
        return None
    return f"not paired: a seed may stand for another episode with other packages ({'; '.join(changed)})"


@dataclass(frozen=True)
class Mean:
    """A mean of success rates with its 95 % interval; `successes` and `episodes` where all are one sample."""

    success: float
    interval95: Interval
    successes: int | None = None
    episodes: int | None = None


def over_suites(closed: ClosedLoop) -> Mean:
    """Average the suites' success rates, which is what papers call average.

    Suites of as many episodes that share none are one sample, and the interval is Wilson's of it. Otherwise it is put
    together from the suites' own as that of a difference is (G. Y. Zou and A. Donner, Construction of confidence limits
    about effect measures: a general approach, Statistics in Medicine 27 (2008)).
    """
    suites, overall = list(closed.suites.values()), closed.overall
    episodes = [rate.episodes for rate in suites]
    if len(set(episodes)) == 1 and sum(episodes) == overall.episodes:
        return Mean(overall.success, overall.wilson95, overall.successes, overall.episodes)
    mean = fmean(rate.success for rate in suites)
    below, above = (sqrt(sum((rate.success - rate.wilson95[i]) ** 2 for rate in suites)) for i in (0, 1))
    return Mean(mean, (mean - below / len(suites), mean + above / len(suites)))


@dataclass(frozen=True)
class Value:
    """A number and its 95 % interval, None where the episodes are not known."""

    value: float
    interval95: Interval | None


@dataclass(frozen=True)
class Beside:
    """A number of ours beside the published one. `measure` is the name of a suite, MEAN, or LENGTH of chains; `ours` is
    None before it was evaluated; `difference` is ours − published with Newcombe's `interval95`; `p` is Fisher's, where
    both are rates of episodes."""

    measure: str
    source: str
    ours: Value | None
    published: Value
    difference: float | None
    interval95: Interval | None
    p: float | None


def beside_published(closed: ClosedLoop | None, published: Published) -> list[Beside]:
    """Put each number of `published` beside the evaluation's `closed` loop (None before there is one).

    A LENGTH has Student's interval, and of ours alone.
    """
    rows = []
    for suite, value in published.suites.items():
        rate = closed.suites[suite] if closed else None
        ours = Value(rate.success, rate.wilson95) if rate else None
        rows.append(_row(suite, published, ours, value, published.episodes, rate))
    if published.average is not None:
        mean = over_suites(closed) if closed and len(closed.suites) > 1 else None  # one suite is not their mean
        ours = Value(mean.success, mean.interval95) if mean else None
        of_all = published.episodes * len(closed.suites) if closed and published.episodes else None
        rows.append(_row(MEAN, published, ours, published.average, of_all, mean))
    if published.average_length is not None:
        chains = closed.chains if closed else None
        ours = Value(chains.average_length, chains.interval95) if chains else None
        rows.append(_row(LENGTH, published, ours, published.average_length, None, None))
    return rows


def _row(
    measure: str,
    published: Published,
    ours: Value | None,
    value: float,
    episodes: int | None,
    counts: Rate | Mean | None,
) -> Beside:
    """`value` is the published number, of `episodes` where those are known; `counts` has ours."""
    theirs = (round(value * episodes), episodes) if episodes else None
    interval = wilson95(*theirs) if theirs else None
    apart = between95(ours.value, value, ours.interval95, interval) if ours and ours.interval95 and interval else None
    p = None
    if theirs and counts and counts.successes is not None and counts.episodes:
        p = fisher(counts.successes, counts.episodes, *theirs)
    difference = ours.value - value if ours else None
    return Beside(measure, published.source, ours, Value(value, interval), difference, apart, p)
