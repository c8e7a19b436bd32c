"""Evaluates the weights saved every `train.keep_every` steps: success against steps. Start from `by_step`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pisft import metrics_csv
from pisft.canonical import read_json
from pisft.config.checks import check_seeds
from pisft.config.experiment import Resolved
from pisft.errors import PisftError
from pisft.evaluate.policy import load_policy
from pisft.evaluate.run import closed_loop
from pisft.records.by_step import AtStep
from pisft.train.checkpoints.files import state_folder
from pisft.verified import first_damaged, listed


def by_step(
    config: Resolved,
    run_dir: Path,
    fingerprint: str,
    device: torch.device,
    workers: int,
    seeds: str = "tuning",
    state: Path | None = None,
) -> tuple[dict[int, AtStep], dict[int, dict[str, Any]]]:
    """Evaluate each saved step of the training run with `fingerprint` in `run_dir`.

    Returns two dicts by step: `overall` and `tasks` as in eval.json with that step's `val_loss` (None if it was not
    measured), and facts about how the evaluation went. `seeds` is the range of the episodes: steps are compared to
    choose one, so the range must not be the one that the result is tested on. `state` is a folder for finished
    rollouts, from which an interrupted evaluation resumes. Raises `PisftError`s.
    """
    folder = state_folder(run_dir, fingerprint) / "kept"
    weights = {int(path.name.removeprefix("step_")): path for path in folder.glob("step_*") if path.is_dir()}
    if not weights:
        raise PisftError(f"{folder}: found no weights by step; set train.keep_every and train again")
    loop = config.eval.closed_loop
    if loop is None:
        raise PisftError(f"{run_dir}/config.json: eval.closed_loop: is null; expected a protocol to evaluate by")
    simulator = config.simulators[loop.simulator]
    check_seeds(run_dir / "config.json", "--seeds", seeds, simulator, loop.seed, loop.episodes_per_task)
    changes = {"eval": config.eval.model_copy(update={"closed_loop": loop.model_copy(update={"seeds": seeds})})}
    config = config.model_copy(update=changes)
    losses = val_losses(folder.parent / "metrics.csv")
    found, went = {}, {}
    for step in sorted(weights):
        _verify(weights[step])
        policy = load_policy(config, weights[step], device)
        went[step] = {}
        closed = closed_loop(config, policy, None, workers, went[step], state and state / f"{seeds}/{step}")
        found[step] = AtStep(overall=closed.overall, tasks=closed.tasks, val_loss=losses.get(step))
    return found, went


def _verify(folder: Path) -> None:
    facts = read_json(listed(folder), remedy=f"remove {folder} to leave it out")
    files = {name: (folder / name, facts[name]["sha256"]) for name in facts}
    if damaged := first_damaged(files, folder.with_name(f".{folder.name}.verified.json")):
        raise PisftError(f"{folder / damaged[0]}: is not what {listed(folder)} says; remove {folder} to leave it out")


def val_losses(metrics: Path) -> dict[int, float]:
    """Return step → validation loss from a run's metrics.csv; a step that was run twice has the later value."""
    if not metrics.is_file():
        return {}
    return {int(row["step"]): row["val_loss"] for row in metrics_csv.read(metrics) if "val_loss" in row}
