"""Success against steps: the weights that `train.keep_every` kept, each evaluated. Start from `by_step`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from pisft.config.experiment import Resolved
from pisft.data.format import Format
from pisft.data.norm_stats import load as load_norm_stats
from pisft.data.preprocess import Preprocessor
from pisft.errors import PisftError
from pisft.evaluate.policy import Policy
from pisft.evaluate.run import closed_loop
from pisft.model import Pi0, load_weights


def by_step(
    config: Resolved, run_dir: Path, fingerprint: str, device: torch.device, workers: int
) -> dict[int, dict[str, Any]]:
    """Step → what eval.json calls `overall` and `tasks`, for the training run of `fingerprint` in `run_dir`."""
    folder = run_dir / "train_state" / fingerprint[:16] / "kept"
    kept = {int(path.name.removeprefix("step_")): path for path in folder.glob("step_*")}
    if not kept:
        raise PisftError(f"{folder}: found no kept weights; set train.keep_every and train again")
    if config.eval.closed_loop is None:
        raise PisftError(f"{run_dir}/config.json: eval.closed_loop: is null; expected a protocol to evaluate by")
    found = {}
    for step, weights in sorted(kept.items()):
        model = Pi0(config.model)
        load_weights(model, weights)
        stats = load_norm_stats(weights / "norm_stats.json")
        policy = Policy(model.to(device), Preprocessor(config.model, Format(config.format), stats))
        with tempfile.TemporaryDirectory() as videos:
            closed = closed_loop(config, policy, Path(videos), workers, {})
        found[step] = {"overall": closed["overall"], "tasks": closed["tasks"]}
    return found
