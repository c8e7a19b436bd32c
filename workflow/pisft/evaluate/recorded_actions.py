"""The actions that each episode of an evaluation executed, to film any later. Start from `save` and `episodes`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pisft import tensors
from pisft.errors import PisftError
from pisft.evaluate.episode import Episode
from pisft.records.base import RecordError
from pisft.records.evaluation import Evaluation

NAME = "rollouts.safetensors"


def save(folder: Path, episodes: Iterable[Episode]) -> None:
    """Write `folder`/rollouts.safetensors: the executed actions (steps, d) of each episode, by task and seed."""
    actions = {f"{e.task}:{e.seed}": np.ascontiguousarray(e.actions, np.float32) for e in episodes}
    tensors.save(actions, folder / NAME)


def episodes(run_dir: Path, chosen: Sequence[tuple[str, int]] | None = None) -> list[Episode]:
    """Return the episodes (task, seed) of the evaluation in `run_dir`, all by default; raises `PisftError`."""
    try:
        evaluation = Evaluation.read_from(run_dir)
        actions = load_file(run_dir / NAME)
    except (RecordError, OSError, ValueError, SafetensorError) as error:
        raise PisftError(f"{run_dir}: holds no eval.json with {NAME} beside it ({error}); evaluate it again") from error
    closed = evaluation.closed_loop
    known = {(e.task, e.seed): e for e in closed.episodes} if closed else {}
    found = []
    for task, seed in known if chosen is None else chosen:
        if (task, seed) not in known or f"{task}:{seed}" not in actions:
            raise PisftError(f"{run_dir / NAME}: has no episode of '{task}' with seed {seed}; eval.json lists them")
        outcome = known[task, seed]
        actual = actions[f"{task}:{seed}"]
        found.append(Episode(task, seed, outcome.success, int(outcome.success), outcome.steps, actual))
    return found
