"""Whether one experiment's policy succeeds more often than another's. Start from `compare`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Any

from pisft.errors import PisftError
from pisft.evaluate.intervals import between95, difference95, fisher, paired, paired_difference95, wilson95

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


def loss_name(evaluation: dict[str, Any] | None) -> str:
    """What the flow loss of an eval.json is called, by the episodes that it is of."""
    held_out = evaluation is None or evaluation["open_loop"].get("held_out", True)
    return "held-out flow loss" if held_out else "flow loss on training episodes"


def compare(a: dict[str, Any], b: dict[str, Any], tasks: Iterable[str] | None = None) -> Comparison:
    """Two contents of eval.json, on `tasks` (all, by default); raises `PisftError` where they cannot be compared."""
    for content in (a, b):
        if content["closed_loop"] is None:
            raise PisftError(f"{content['experiment']}: eval.json has no closed loop, and so no success to compare")
    ours, theirs = (content["closed_loop"]["protocol"] for content in (a, b))
    different = sorted(key for key in (ours | theirs).keys() - FREE if ours.get(key) != theirs.get(key))
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


def _other_packages(ours: dict[str, str], theirs: dict[str, str]) -> str | None:
    """Why episodes are not paired by their seeds, where the simulator's packages are others."""
    changed = [f"{k} {ours.get(k)}, {theirs.get(k)}" for k in sorted(ours | theirs) if ours.get(k) != theirs.get(k)]
    if not changed:
        return None
    return f"not paired: a seed may stand for another episode with other packages ({'; '.join(changed)})"


def over_suites(closed: dict[str, Any]) -> dict[str, Any]:
    """The mean of the suites' success rates, which is what papers call average: `success` and its `interval95`, with
    `successes` and `episodes` where all are one sample and None where not.

    Suites of as many episodes that share none are one sample, and the interval is Wilson's of it. Otherwise it is put
    together from the suites' own as that of a difference is (G. Y. Zou and A. Donner, Construction of confidence limits
    about effect measures: a general approach, Statistics in Medicine 27 (2008)).
    """
    suites, overall = list(closed["suites"].values()), closed["overall"]
    episodes = [rate["episodes"] for rate in suites]
    if len(set(episodes)) == 1 and sum(episodes) == overall["episodes"]:
        return {key: overall[key] for key in ("success", "successes", "episodes")} | {"interval95": overall["wilson95"]}
    mean = fmean(rate["success"] for rate in suites)
    below, above = (sqrt(sum((rate["success"] - rate["wilson95"][i]) ** 2 for rate in suites)) for i in (0, 1))
    interval = [mean - below / len(suites), mean + above / len(suites)]
    return {"success": mean, "interval95": interval, "successes": None, "episodes": None}


def beside_published(closed: dict[str, Any] | None, published: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each number of an experiment's `published`: `ours` (None before it was evaluated) and `published`, each
    with `value` and, where the episodes are known, `interval95`; `difference` (ours − published) with Newcombe's
    interval, and Fisher's `p` where both are rates of episodes. `closed` is eval.json's closed_loop.

    `measure` is a suite's name, MEAN, or LENGTH of chains, whose interval is Student's and of ours alone.
    """
    episodes, suites = published["episodes"], published["suites"]
    rows = []
    for suite, value in suites.items():
        rate = closed and closed["suites"][suite]
        ours = rate and {"value": rate["success"], "interval95": rate["wilson95"]}
        rows.append(_row(suite, ours, value, episodes, rate))
    if (value := published["average"]) is not None:
        mean = over_suites(closed) if closed and len(closed["suites"]) > 1 else None  # a suite is not their mean
        ours = mean and {"value": mean["success"], "interval95": mean["interval95"]}
        of_all = episodes * len(closed["suites"]) if closed and episodes else None
        rows.append(_row(MEAN, ours, value, of_all, mean if mean and mean["episodes"] else None))
    if (value := published["average_length"]) is not None:
        chains = closed and closed["chains"]
        ours = chains and {"value": chains["average_length"], "interval95": chains["interval95"]}
        rows.append(_row(LENGTH, ours, value, None, None))
    return rows


def _row(
    measure: str,
    ours: dict[str, Any] | None,
    published: float,
    episodes: int | None,
    counts: dict[str, Any] | None,
) -> dict[str, Any]:
    """`episodes` are those of the published rate, `counts` ours, {"successes", "episodes"}; where they are known."""
    theirs = (round(published * episodes), episodes) if episodes else None
    interval = wilson95(*theirs) if theirs else None
    apart = between95(ours["value"], published, ours["interval95"], interval) if ours and interval else None
    return {
        "measure": measure,
        "ours": ours,
        "published": {"value": published, "interval95": interval and list(interval)},
        "difference": ours and ours["value"] - published,
        "interval95": apart and list(apart),
        "p": fisher(counts["successes"], counts["episodes"], *theirs) if counts and theirs else None,
    }
