"""The weights of each saved step are evaluated."""

import csv
from unittest import mock

import numpy as np
import pytest
import torch
from made_up import rate
from metaworld_config import simulator
from pisft.errors import PisftError
from pisft.evaluate.by_step import by_step
from pisft.evaluate.partial import load
from pisft.records.by_step import AtStep, Correlation
from pisft.report.by_step import figure, rank_correlation
from pisft.simulators.pool import Pool
from tiny_training import KEY, make_experiment, run

LOOP = {"simulator": "mw", "suites": ["one"], "episodes_per_task": 2, "replan_steps": 4, "batch_size": 2, "seed": 1}
SEEDS = {"tuning": {"first": 100, "last": 109}, "testing": {"first": 200, "last": 209}}


def test_success_against_steps_is_that_of_the_weights_of_each_step_on_seeds_that_nothing_is_tested_on(
    tmp_path, video_dataset
):
    simulators = {"mw": simulator(max_steps=6, seeds=SEEDS).model_dump(mode="json")}
    parts = {"eval": {"closed_loop": LOOP}, "simulators": simulators}
    config = make_experiment(tmp_path, video_dataset, parts=parts, steps=4, keep_every=2)
    run_dir, state = tmp_path / "results/tiny", tmp_path / "state"
    device = torch.device("cpu")
    with pytest.raises(PisftError, match="keep_every"):
        by_step(config, run_dir, KEY, device, 1)
    run(tmp_path)
    with pytest.raises(PisftError, match=r"config\.json: --seeds: unknown seed range 'tunin'; did you mean 'tuning'"):
        by_step(config, run_dir, KEY, device, 1, seeds="tunin")

    found, went = by_step(config, run_dir, KEY, device, 1, state=state)
    assert {step: outcome.overall.episodes for step, outcome in found.items()} == {2: 2, 4: 2}
    assert went.keys() == {2, 4} and went[2].keys() == {"rollouts_s", "lost_simulators"}
    rows = list(csv.DictReader((run_dir / "metrics.csv").open()))
    assert found[4].val_loss == float(next(row["val_loss"] for row in rows if row["step"] == "4"))
    assert not (run_dir / "videos").exists() and not (run_dir / "rollouts.safetensors").exists()

    groups = {step: load(state / f"tuning/{step}", [[("drawer-close", 101), ("drawer-close", 102)]]) for step in (2, 4)}
    assert all(0 in group for group in groups.values()), "on tuning seeds, from the experiment's own first one on"
    actions = [group[0].episodes[0].actions for group in groups.values()]
    assert not np.array_equal(*actions), "each with its own weights"
    with mock.patch.object(Pool, "__init__", side_effect=AssertionError("nothing is left to roll out")):
        assert by_step(config, run_dir, KEY, device, 1, state=state)[0] == found


def _outcome(successes, loss):
    return AtStep(overall=rate(successes, 20), tasks={}, val_loss=loss)


def test_the_correlation_is_of_ranks_and_only_where_there_is_one():
    falling = {step: _outcome(step, 1 / step) for step in (1, 4, 9)}
    assert rank_correlation(falling) == Correlation(steps=3, spearman=-1.0)
    assert rank_correlation(falling | {10: _outcome(3, None)}) == Correlation(steps=3, spearman=-1.0)
    assert rank_correlation({1: _outcome(1, 0.5), 2: _outcome(2, 0.4)}).spearman is None
    assert rank_correlation({step: _outcome(5, 1 / step) for step in (1, 2, 3)}).spearman is None
    assert rank_correlation({1: _outcome(1, None)}) == Correlation(steps=0, spearman=None)


def test_the_figure_is_the_same_bytes_and_shows_both():
    found = {step: _outcome(step, 1 / step) for step in (1, 4, 9)}
    assert figure(found) == figure(found)
    assert "held-out flow loss" in figure(found) and "success, 95 %" in figure(found)
    assert "held-out flow loss</text>" not in figure({1: _outcome(1, None)})
