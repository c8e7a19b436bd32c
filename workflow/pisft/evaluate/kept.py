"""Success against steps: the weights that `train.keep_every` kept, each evaluated. Start from `by_step`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from pisft import metrics_csv
from pisft.config.experiment import Resolved, check_seeds
from pisft.errors import PisftError
from pisft.evaluate.policy import load_policy
from pisft.evaluate.run import closed_loop
from pisft.records.by_step import AtStep
from pisft.train.checkpoints.published import state_folder
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
    """(step → what eval.json calls `overall` and `tasks`, with the `val_loss` of that step, None where none was
    measured; step → how it went) of the training run of `fingerprint` in `run_dir`.

    `seeds` is the range that the episodes are of: steps are compared to choose one, and what is chosen by must not be
    what is tested on. `state` is a folder for finished rollouts, which a run that is interrupted goes on from. Raises
    `PisftError`s.
    """
    folder = state_folder(run_dir, fingerprint) / "kept"
    weights = {int(path.name.removeprefix("step_")): path for path in folder.glob("step_*") if path.is_dir()}
    if not weights:
        raise PisftError(f"{folder}: found no kept weights; set train.keep_every and train again")
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
    facts = json.loads(listed(folder).read_text())
    files = {name: (folder / name, facts[name]["sha256"]) for name in facts}
    if damaged := first_damaged(files, folder.with_name(f".{folder.name}.verified.json")):
        raise PisftError(f"{folder / damaged[0]}: is not what {listed(folder)} says; remove {folder} to leave it out")


def val_losses(metrics: Path) -> dict[int, float]:
    """Step → validation loss, of a run's metrics.csv; of a step that was run twice, the later one's."""
    if not metrics.is_file():
        return {}
    return {int(row["step"]): row["val_loss"] for row in metrics_csv.read(metrics) if "val_loss" in row}
