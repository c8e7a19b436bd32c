"""Each kept step is evaluated with its own weights."""

import csv

import pytest
import torch
from pisft.errors import PisftError
from pisft.evaluate import kept
from pisft.report.by_step import by_step, rank_correlation
from tiny_training import KEY, make_experiment, run

LOOP = {"simulator": "s", "suites": ["a"], "episodes_per_task": 1, "replan_steps": 1, "batch_size": 1}


def test_success_against_steps_is_that_of_the_kept_weights(tmp_path, image_dataset, monkeypatch):
    config = make_experiment(tmp_path, image_dataset, parts={"eval": {"closed_loop": LOOP}}, steps=6, keep_every=2)
    run_dir = tmp_path / "results/tiny"
    with pytest.raises(PisftError, match="keep_every"):
        kept.by_step(config, run_dir, KEY, torch.device("cpu"), 1)
    run(tmp_path)
    seen = []

    def closed_loop(config, policy, videos, workers, timing):
        seen.append(policy.model.action_out_proj.weight.sum().item())
        return {"overall": {"successes": len(seen)}, "tasks": {}, "episodes": []}

    monkeypatch.setattr(kept, "closed_loop", closed_loop)
    found = kept.by_step(config, run_dir, KEY, torch.device("cpu"), 1)
    assert {step: outcome["overall"]["successes"] for step, outcome in found.items()} == {2: 1, 4: 2, 6: 3}
    assert len(set(seen)) == 3
    rows = list(csv.DictReader((run_dir / "metrics.csv").open()))
    assert found[6]["val_loss"] == float(next(row["val_loss"] for row in rows if row["step"] == "6"))


def _outcome(successes, loss):
    rate = successes / 20
    interval = [max(0.0, rate - 0.2), min(1.0, rate + 0.2)]
    return {"overall": {"success": rate, "wilson95": interval}, "val_loss": loss}


def test_the_correlation_is_of_ranks_and_only_where_there_is_one():
    falling = {step: _outcome(step, 1 / step) for step in (1, 4, 9)}
    assert rank_correlation(falling) == {"steps": 3, "spearman": -1.0}
    assert rank_correlation(falling | {10: _outcome(3, None)}) == {"steps": 3, "spearman": -1.0}
    assert rank_correlation({1: _outcome(1, 0.5), 2: _outcome(2, 0.4)})["spearman"] is None
    assert rank_correlation({step: _outcome(5, 1 / step) for step in (1, 2, 3)})["spearman"] is None
    assert rank_correlation({1: _outcome(1, None)}) == {"steps": 0, "spearman": None}


def test_the_picture_is_the_same_bytes_and_shows_both():
    found = {step: _outcome(step, 1 / step) for step in (1, 4, 9)}
    assert by_step(found) == by_step(found)
    assert "held-out flow loss" in by_step(found) and "success, 95 %" in by_step(found)
    assert "held-out flow loss</text>" not in by_step({1: _outcome(1, None)})
