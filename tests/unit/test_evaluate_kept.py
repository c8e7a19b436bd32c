"""Each kept step is evaluated with its own weights."""

import pytest
import torch
from pisft.errors import PisftError
from pisft.evaluate import kept
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
