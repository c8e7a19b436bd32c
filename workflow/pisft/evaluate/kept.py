"""Success against steps: the weights that `train.keep_every` kept, each evaluated. Start from `by_step`."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import torch

from pisft.config.experiment import Resolved
from pisft.errors import PisftError
from pisft.evaluate.policy import load_policy
from pisft.evaluate.run import closed_loop


def by_step(
    config: Resolved, run_dir: Path, fingerprint: str, device: torch.device, workers: int
) -> dict[int, dict[str, Any]]:
    """Step → what eval.json calls `overall` and `tasks`, for the training run of `fingerprint` in `run_dir`; and the
    `val_loss` of that step, None where none was measured."""
    folder = run_dir / "train_state" / fingerprint[:16] / "kept"
    kept = {int(path.name.removeprefix("step_")): path for path in folder.glob("step_*")}
    if not kept:
        raise PisftError(f"{folder}: found no kept weights; set train.keep_every and train again")
    if config.eval.closed_loop is None:
        raise PisftError(f"{run_dir}/config.json: eval.closed_loop: is null; expected a protocol to evaluate by")
    losses = val_losses(run_dir / "metrics.csv")
    found = {}
    for step, weights in sorted(kept.items()):
        policy = load_policy(config, weights, weights, device)
        with tempfile.TemporaryDirectory() as folder:
            closed = closed_loop(config, policy, Path(folder), workers, {})
        found[step] = {"overall": closed["overall"], "tasks": closed["tasks"], "val_loss": losses.get(step)}
    return found


def val_losses(metrics: Path) -> dict[int, float]:
    """Step → validation loss, of a run's metrics.csv; of a step that was run twice, the later one's."""
    if not metrics.is_file():
        return {}
    with metrics.open(newline="") as file:
        return {int(row["step"]): float(row["val_loss"]) for row in csv.DictReader(file) if row.get("val_loss")}
