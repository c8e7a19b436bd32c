"""Two experiments are compared on the same seeds where they have them, and not where they did different things."""

import json
import subprocess
import sys

import pytest
from pisft.errors import PisftError
from pisft.evaluate.compare import beside_published, compare
from pisft.evaluate.intervals import difference95, fisher, paired, paired_difference95, wilson95
from typed_project import ROOT


def evaluation(name, outcomes, first=0, **protocol):
    """eval.json of task a with these outcomes, from seed `first` on."""
    return {
        "experiment": name,
        "closed_loop": {
            "protocol": {"simulator": "s", "tasks": {"a": "do it"}, "max_steps": 5, "replan_steps": 5} | protocol,
            "episodes": [{"task": "a", "seed": first + i, "success": success} for i, success in enumerate(outcomes)],
        },
    }


ONE = [True] * 6 + [False] * 6
OTHER = [True] * 4 + [False] * 2 + [True] * 5 + [False]


def test_the_same_seeds_are_compared_pair_by_pair():
    found = compare(evaluation("x", ONE), evaluation("y", OTHER))
    assert found.flips == {"won": [("a", n) for n in range(6, 11)], "lost": [("a", 4), ("a", 5)]}
    assert (found.difference, found.successes, found.episodes) == (pytest.approx(3 / 12), (6, 9), (12, 12))
    assert found.p == paired(5, 2) and found.interval95 == paired_difference95(4, 5, 2, 1)
    assert found.test == "McNemar's exact"


def test_other_seeds_are_compared_as_two_samples():
    found = compare(evaluation("x", ONE), evaluation("y", OTHER, first=100, replan_steps=1))
    assert found.flips is None and found.test == "Fisher's exact"
    assert found.p == fisher(6, 12, 9, 12) and found.interval95 == difference95(9, 12, 6, 12)


def test_what_cannot_be_compared_is_not():
    with pytest.raises(PisftError, match="x and y ran under different protocols: max_steps differ"):
        compare(evaluation("x", ONE), evaluation("y", ONE, max_steps=6))
    with pytest.raises(PisftError, match=r"y: eval\.json has no closed loop"):
        compare(evaluation("x", ONE), {"experiment": "y", "closed_loop": None})


def published(**given):
    return {"episodes": None, "suites": {}, "average": None, "average_length": None} | given


def test_a_published_rate_is_shown_with_an_interval_too():
    rate = {"successes": 9, "episodes": 12, "success": 0.75, "wilson95": list(wilson95(9, 12))}
    closed = {"suites": {"s": rate, "other": {}}, "overall": rate, "chains": {"average_length": 3.5}}
    (row,) = beside_published(closed, published(episodes=500, suites={"s": 0.968}))
    assert row["ours"] == {"value": 0.75, "interval95": rate["wilson95"]}
    assert row["published"] == {"value": 0.968, "interval95": list(wilson95(484, 500))}
    low, high = row["interval95"]
    assert row["difference"] == pytest.approx(-0.218) and low < row["difference"] < high < 0
    assert row["p"] == fisher(9, 12, 484, 500) < 0.01

    one, other = beside_published(closed, published(average=0.5, average_length=3.8))
    assert (one["measure"], one["difference"], one["published"]["interval95"], one["p"]) == ("all", 0.25, None, None)
    assert (other["measure"], other["ours"]["value"]) == ("average length", 3.5)
    assert other["difference"] == pytest.approx(-0.3)


def test_what_was_published_is_shown_before_anything_was_run():
    rows = beside_published(None, published(episodes=50, suites={"s": 0.5}, average_length=3.8))
    assert [row["ours"] for row in rows] == [None, None] == [row["difference"] for row in rows]
    assert rows[0]["published"]["interval95"] == list(wilson95(25, 50))


def test_the_command_prints_a_table(tmp_path):
    for name, outcomes in (("x", ONE), ("y", OTHER)):
        (tmp_path / name).write_text(json.dumps(evaluation(name, outcomes)))
    command = [sys.executable, ROOT / "scripts/compare_success.py", tmp_path / "x", tmp_path / "y"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "| a | 6/12 | 9/12 | +25.0 (" in said
    assert "5 episodes won, 2 lost, of the same seeds" in said
