"""Resumable training state on disk: `<folder>/step_<n>/`, each whole or not there at all.

Start from `save` and `latest`. The tensors go through torch.distributed.checkpoint in its safetensors form (its own
form has a pickled index, which must not be loaded), so that the number of processes may change between runs.
`state.json` names every file with its size and sha256 and is written last; the folder gets its name when all of it is
on disk.
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

from pisft.canonical import file_facts
from pisft.train.distribution.world import World
from pisft.train.errors import TrainingError

KEPT = 2
ALONE = World()

# one process is what is meant wherever no process group was made
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
    """Write `tensors` and `notes` (text by file name) as `folder/step_<n>/`, and drop all but the last two states.

    All processes of `world` call it, and talk in `group`, by default that of all else. `check` is called right before
    the state gets its name. A full disk is a `TrainingError`; what was there stays.
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
            "make room and run the same command again to go on from the last one"
        ) from error
    if world.lead:
        for old in _states(folder, step)[KEPT:]:
            shutil.rmtree(old)
    return final


def latest(folder: Path, steps: float = inf) -> Path | None:
    """The last whole state in `folder` of at most `steps` steps; damaged ones are passed over."""
    for path in _states(folder, steps):
        if (reason := fault(path)) is None:
            return path
        print(f"{path}: is passed over: {reason}", file=sys.stderr)
    return None


def elsewhere(folder: Path) -> list[Path]:
    """The last state of each run that was stopped beside `folder`, of other fingerprints."""
    beside = [path for path in sorted(folder.parent.glob("*")) if path.is_dir() and path != folder]
    return [states[0] for path in beside if (states := _states(path, inf))]


def load(path: Path, tensors: dict[str, Tensor]) -> int:
    """Fill `tensors` in place from the state at `path`; its step. Raises `TrainingError` where they do not fit."""
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
    """Updates that the state at `path` has behind it."""
    return int(path.name.removeprefix("step_"))


def fault(path: Path) -> str | None:
    """What is wrong with the state at `path`; None where every file is, to the byte, what `state.json` says."""
    try:
        content = json.loads((path / "state.json").read_text())
        facts = content["files"]
        if content["sha256"] != _digest(facts):
            return "state.json was changed"
        return next((f"{name} was changed" for name in facts if file_facts(path / name) != facts[name]), None)
    except OSError as error:
        return f"{Path(error.filename).name}: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return "state.json is none of this version"


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _complete(temporary: Path, final: Path, step: int, notes: dict[str, str], check: Callable[[], None]) -> None:
    for name, text in notes.items():
        _write(temporary / name, text)
    facts = {path.name: file_facts(path) for path in sorted(temporary.iterdir())}
    content = {"step": step, "files": facts, "sha256": _digest(facts)}
    _write(temporary / "state.json", json.dumps(content, sort_keys=True))
    check()
    if final.exists():  # a damaged one, or it would have been resumed from
        shutil.rmtree(final)
    os.rename(temporary, final)
    sync_folder(final.parent)


def _digest(facts: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _states(folder: Path, steps: float) -> list[Path]:
    """Those of at most `steps` steps, newest first: of a run that was longer once, the others are left alone."""
    found = [path for path in folder.glob("step_*") if path.name.removeprefix("step_").isdigit()]
    return sorted((path for path in found if step_of(path) <= steps), key=step_of, reverse=True)


def _remove_unfinished(folder: Path) -> None:
    for path in folder.glob(".step_*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _reason(error: BaseException) -> str:
    """The innermost message: checkpoint exceptions carry those of every process."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return " ".join(str(error).split())[:300]
