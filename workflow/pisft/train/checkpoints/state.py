"""Saves and loads resumable training states: `<folder>/step_<n>/`, each complete or absent.

Start from `save` and `latest`. The tensors are written by torch.distributed.checkpoint in its safetensors format (its
native format has a pickled index, which must not be loaded), so that the number of processes may change between runs.
`state.json` lists every file with its size and sha256 and is written last; the folder is renamed to its final name once
everything is on disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from torch import Tensor, distributed
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter

from pisft.architecture.memory import STATES
from pisft.atomic import sync
from pisft.canonical import file_facts, read_json, write_json, write_text
from pisft.errors import PisftError
from pisft.train.distribution.world import World
from pisft.train.errors import TrainingError

ALONE = World()

# without a process group, a single process is intended
warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")


def save(
    folder: Path,
    step: int,
    tensors: dict[str, Tensor],
    notes: dict[str, str],
    check: Callable[[], None],
    world: World = ALONE,
    group: distributed.ProcessGroup | None = None,
) -> Path:
    """Write `tensors` and `notes` (text by file name) as `folder/step_<n>/`; delete all but the last two.

    All ranks of `world` call it and communicate in `group`, by default the default process group. `check` is called
    right before the folder gets its final name. Raises `TrainingError` if the disk is full; earlier states stay intact.
    """
    final, temporary = folder / f"step_{step}", folder / f".step_{step}.tmp"
    try:
        if world.lead:
            _remove_unfinished(folder)
            temporary.mkdir(parents=True)
        world.barrier(group)
        state_dict_saver.save(
            tensors,
            storage_writer=HuggingFaceStorageWriter(str(temporary), save_distributed=True),
            process_group=group,
            no_dist=not distributed.is_initialized(),
        )
        if world.lead:
            _complete(temporary, final, step, notes, check)
        world.barrier(group)
    except (OSError, CheckpointException) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise TrainingError(
            f"{final}: the training state cannot be written: {_reason(error)}; earlier states are intact: "
            "make room and run the same command again to resume from the last one"
        ) from error
    if world.lead:
        for old in _states(folder, step)[STATES:]:
            shutil.rmtree(old)
    return final


def latest(folder: Path, steps: float = inf) -> Path | None:
    """Return the last intact training state in `folder` of at most `steps` steps; skips damaged ones."""
    for path in _states(folder, steps):
        if (reason := fault(path)) is None:
            return path
        print(f"{path}: is skipped: {reason}", file=sys.stderr)
    return None


def elsewhere(folder: Path) -> list[Path]:
    """Return the last training state of each stopped run with another fingerprint, in folders beside `folder`."""
    beside = [path for path in sorted(folder.parent.glob("*")) if path.is_dir() and path != folder]
    return [states[0] for path in beside if (states := _states(path, inf))]


def load(path: Path, tensors: dict[str, Tensor]) -> int:
    """Fill `tensors` in place from the training state at `path`; returns its step.

    Raises `TrainingError` if they do not fit.
    """
    try:
        state_dict_loader.load(
            tensors,
            storage_reader=HuggingFaceStorageReader(str(path)),
            no_dist=not distributed.is_initialized(),
        )
    except (CheckpointException, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"{path}: the training state does not fit this model: {_reason(error)}; "
            f"remove the folder to start from the state before it"
        ) from error
    return step_of(path)


def step_of(path: Path) -> int:
    """Return the number of updates done before the training state at `path` was saved."""
    return int(path.name.removeprefix("step_"))


def fault(path: Path) -> str | None:
    """Return what is wrong with the training state at `path`; None if every file matches `state.json`."""
    try:
        content = read_json(path / "state.json")
        facts = content["files"]
        if content["sha256"] != _digest(facts):
            return "state.json was changed"
        return next((f"{name} was changed" for name in facts if file_facts(path / name) != facts[name]), None)
    except OSError as error:
        return f"{Path(error.filename).name}: {error.strerror}"
    except (PisftError, KeyError, TypeError):
        return "state.json is of another version"


def _complete(temporary: Path, final: Path, step: int, notes: dict[str, str], check: Callable[[], None]) -> None:
    for name, text in notes.items():
        write_text(temporary / name, text)
    facts = {path.name: file_facts(path) for path in sorted(temporary.iterdir())}
    content = {"step": step, "files": facts, "sha256": _digest(facts)}
    write_json(temporary / "state.json", content)
    check()
    if final.exists():  # damaged: an intact one would have been resumed from
        shutil.rmtree(final)
    os.rename(temporary, final)
    sync(final.parent)


def _digest(facts: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _states(folder: Path, steps: float) -> list[Path]:
    """Return the training states of at most `steps` steps, newest first; those of a longer run are left alone."""
    found = [path for path in folder.glob("step_*") if path.name.removeprefix("step_").isdigit()]
    return sorted((path for path in found if step_of(path) <= steps), key=step_of, reverse=True)


def _remove_unfinished(folder: Path) -> None:
    for path in folder.glob(".step_*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def _reason(error: BaseException) -> str:
    """Return the innermost message; a `CheckpointException` holds the errors of every rank."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return " ".join(str(error).split())[:300]
