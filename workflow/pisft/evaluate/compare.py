"""Whether one experiment's policy succeeds more often than another's. Start from `compare`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pisft.errors import PisftError
from pisft.evaluate.intervals import difference95, fisher, paired, paired_difference95, wilson95

SAME = ("simulator", "tasks", "max_steps")  # of the protocol, without which two rates are of different things


@dataclass(frozen=True)
class Comparison:
    """Success rate b − rate a. `flips` are the episodes (task, seed) on which one alone succeeded, where both ran the
    same ones; None where they did not, and the test is an unpaired one."""

    episodes: tuple[int, int]
    successes: tuple[int, int]
    difference: float
    interval95: tuple[float, float]
    p: float
    flips: dict[str, list[tuple[str, int]]] | None

    @property
    def test(self) -> str:
        """The name of the test that gave `p`."""
        return "Fisher's exact" if self.flips is None else "McNemar's exact"


def compare(a: dict[str, Any], b: dict[str, Any], tasks: Iterable[str] | None = None) -> Comparison:
    """Two contents of eval.json, on `tasks` (all, by default); raises `PisftError` where they cannot be compared."""
    for content in (a, b):
        if content["closed_loop"] is None:
            raise PisftError(f"{content['experiment']}: eval.json has no closed loop, and so no success to compare")
    different = [key for key in SAME if a["closed_loop"]["protocol"][key] != b["closed_loop"]["protocol"][key]]
    if different:
        raise PisftError(
            f"{a['experiment']} and {b['experiment']} ran under different protocols: {', '.join(different)} differ; "
            "evaluate both with the same eval.closed_loop"
        )
    chosen = None if tasks is None else set(tasks)
    one, other = (
        {
            (episode["task"], episode["seed"]): episode["success"]
            for episode in content["closed_loop"]["episodes"]
            if chosen is None or episode["task"] in chosen
        }
        for content in (a, b)
    )
    successes, episodes = (sum(one.values()), sum(other.values())), (len(one), len(other))
    if one.keys() != other.keys():
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
    return Comparison(episodes, successes, rates[1] - rates[0], (low, high), p, flips)


def beside_published(closed: dict[str, Any] | None, published: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each number of an experiment's `published`: `ours` (None before it was evaluated) and `published`, each
    with `value` and, where the episodes are known, `interval95` (Wilson's); `difference` (ours − published) with
    Newcombe's interval and Fisher's `p`, where both are rates. `closed` is eval.json's closed_loop.

    `measure` is a suite's name, "all" of the mean over suites, or "average length" of chains.
    """
    episodes, suites = published["episodes"], published["suites"]
    rows = [_rates(suite, closed and closed["suites"][suite], rate, episodes) for suite, rate in suites.items()]
    if (rate := published["average"]) is not None:
        of_all = episodes * len(closed["suites"]) if closed and episodes else None
        rows.append(_rates("all", closed and closed["overall"], rate, of_all))
    if (length := published["average_length"]) is not None:
        ours = {"value": closed["chains"]["average_length"], "interval95": None} if closed else None
        row = {"measure": "average length", "ours": ours, "published": {"value": length, "interval95": None}}
        rows.append(row | {"difference": ours and ours["value"] - length, "interval95": None, "p": None})
    return rows


def _rates(measure: str, rate: dict[str, Any] | None, published: float, episodes: int | None) -> dict[str, Any]:
    theirs = (round(published * episodes), episodes) if episodes else None
    row: dict[str, Any] = {
        "measure": measure,
        "ours": rate and {"value": rate["success"], "interval95": rate["wilson95"]},
        "published": {"value": published, "interval95": list(wilson95(*theirs)) if theirs else None},
        "difference": rate and rate["success"] - published,
        "interval95": None,
        "p": None,
    }
    if rate and theirs:
        counts = (rate["successes"], rate["episodes"])
        row |= {"interval95": list(difference95(*counts, *theirs)), "p": fisher(*counts, *theirs)}
    return row
