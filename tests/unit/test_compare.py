"""Two experiments are compared on the same seeds where they have them, and not where they did different things."""

import pytest
import warm
from made_up import closed_loop, evaluation, rate
from pisft.config.evaluation import Published
from pisft.errors import PisftError
from pisft.evaluate.compare import Value, beside_published, compare, over_suites
from pisft.evaluate.intervals import difference95, fisher, paired, paired_difference95, wilson95
from pisft.records.evaluation import Chains, loss_name
from typed_project import ROOT


def outcomes(name, found, first=0, **protocol):
    """An evaluation of task a with these outcomes, from seed `first` on."""
    return evaluation(name, closed_loop({"a": found}, first, **protocol))


ONE = [True] * 6 + [False] * 6
OTHER = [True] * 4 + [False] * 2 + [True] * 5 + [False]


def test_the_same_seeds_are_compared_pair_by_pair():
    found = compare(outcomes("x", ONE), outcomes("y", OTHER))
    assert found.flips == {"won": [("a", n) for n in range(6, 11)], "lost": [("a", 4), ("a", 5)]}
    assert (found.difference, found.successes, found.episodes) == (pytest.approx(3 / 12), (6, 9), (12, 12))
    assert found.p == paired(5, 2) and found.interval95 == paired_difference95(4, 5, 2, 1)
    assert found.test == "McNemar's exact"


def test_other_seeds_are_compared_as_two_samples():
    found = compare(outcomes("x", ONE), outcomes("y", OTHER, first=100, replan_steps=1))
    assert found.flips is None and found.test == "Fisher's exact"
    assert found.p == fisher(6, 12, 9, 12) and found.interval95 == difference95(9, 12, 6, 12)


def test_other_packages_are_compared_as_two_samples_though_the_seeds_are_the_same():
    found = compare(outcomes("x", ONE), outcomes("y", OTHER, packages={"mujoco": "3.6", "numpy": "2"}))
    assert found.flips is None and found.test == "Fisher's exact" and found.p == fisher(6, 12, 9, 12)
    assert found.note.startswith("not paired: ") and "(mujoco 3.5, 3.6; numpy None, 2)" in found.note
    assert compare(outcomes("x", ONE), outcomes("y", OTHER)).note is None


def test_what_cannot_be_compared_is_not():
    with pytest.raises(PisftError, match="x and y ran under different protocols: max_steps differ"):
        compare(outcomes("x", ONE), outcomes("y", ONE, max_steps=6))
    other = {"settle_steps": 0, "subtask_steps": 360}
    with pytest.raises(PisftError, match="settle_steps, subtask_steps differ"):
        compare(outcomes("x", ONE, settings={"settle_steps": 10}), outcomes("y", ONE, settings=other))
    with pytest.raises(PisftError, match=r"y: eval\.json has no closed loop"):
        compare(outcomes("x", ONE), evaluation("y"))


def published(**given):
    return Published(source="them", **given)


def suites(overall, **given):
    rates = {name: rate(*counts) for name, counts in given.items()}
    return closed_loop({"push": [True]}, overall=overall, suites=rates)


def test_a_published_rate_is_shown_with_an_interval_too():
    chains = Chains(average_length=3.5, interval95=(3.0, 4.0), at_least={})
    closed = suites(rate(9, 12), s=(9, 12), other=(0, 1)).model_copy(update={"chains": chains})
    (row,) = beside_published(closed, published(episodes=500, suites={"s": 0.968}))
    assert row.ours == Value(0.75, wilson95(9, 12)) and row.source == "them"
    assert row.published == Value(0.968, wilson95(484, 500))
    low, high = row.interval95
    assert row.difference == pytest.approx(-0.218) and low < row.difference < high < 0
    assert row.p == fisher(9, 12, 484, 500) < 0.01

    (row,) = beside_published(closed, published(average_length=3.8))
    assert (row.measure, row.ours) == ("average length", Value(3.5, (3.0, 4.0)))
    assert row.difference == pytest.approx(-0.3) and row.interval95 is None


def test_an_average_is_that_of_the_suites_and_one_sample_only_where_they_are_of_as_many_episodes():
    equal = suites(rate(14, 20), s=(9, 10), t=(5, 10))
    (row,) = beside_published(equal, published(episodes=500, average=0.5))
    assert row.measure == "mean over suites" and row.p == fisher(14, 20, 500, 1000)
    assert row.ours == Value(0.7, wilson95(14, 20))
    assert row.interval95 == pytest.approx(difference95(14, 20, 500, 1000))

    unequal = suites(rate(32, 40), s=(27, 30), t=(5, 10))
    (row,) = beside_published(unequal, published(episodes=500, average=0.5))
    assert (row.ours.value, row.difference, row.p) == (0.7, pytest.approx(0.2), None)
    below = [(x / n - wilson95(x, n)[0]) / 2 for x, n in ((27, 30), (5, 10))]
    assert row.ours.interval95[0] == pytest.approx(0.7 - (below[0] ** 2 + below[1] ** 2) ** 0.5)
    assert row.interval95[0] < row.ours.interval95[0] - 0.5
    assert over_suites(unequal).episodes is None and over_suites(equal).episodes == 20

    shared = suites(rate(6, 10), both=(6, 10), again=(6, 10))
    assert over_suites(shared).episodes is None, "an episode counts once"


def test_what_was_published_is_shown_before_anything_was_run():
    rows = beside_published(None, published(episodes=50, suites={"s": 0.5}, average_length=3.8))
    assert [row.ours for row in rows] == [None, None] == [row.difference for row in rows]
    assert rows[0].published.interval95 == wilson95(25, 50)


def test_the_command_prints_a_table(tmp_path):
    for name, found in (("x", ONE), ("y", OTHER)):
        outcomes(name, found).write(tmp_path / name)
    said = warm.run([ROOT / "tools/compare_success.py", tmp_path / "x", tmp_path / "y"]).stdout
    assert "| a | 6/12 | 9/12 | +25.0 (" in said
    assert "5 episodes won, 2 lost, of the same seeds" in said


def test_a_flow_loss_is_called_by_the_episodes_that_it_is_of():
    assert evaluation().loss_name == loss_name() == "held-out flow loss"
    assert evaluation(held_out=False).loss_name == "flow loss on training episodes"
