"""Writes weights to folders, and promotes one of them to the run's checkpoint.

Start from `write_checkpoint`, which writes a folder, and `promote`, which puts one in `checkpoint/` and then writes
checkpoint.json.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pisft.arithmetic import arithmetic
from pisft.atomic import link, new_folder, sync
from pisft.canonical import file_facts, files_below, read_json, write_json, write_text
from pisft.config.experiment import Resolved
from pisft.config.finetune import Lora
from pisft.model import Pi0, lora
from pisft.model.weights import write_weights
from pisft.records.base import FileFacts, facts_of
from pisft.records.checkpoint import CheckpointIndex
from pisft.train.checkpoints.files import METRICS
from pisft.train.distribution.parallel import whole
from pisft.train.errors import TrainingError
from pisft.verified import listed


def promote(
    run_dir: Path,
    weights: Path,
    tables: Iterable[Path],
    key: str,
    step: int,
    val_loss: float | None = None,
    train_loss: float | None = None,
) -> None:
    """Make the folder `weights`, on the same disk, the run's `checkpoint/`, put the `tables` of metrics beside it, then
    write checkpoint.json.

    `key` is that of what the weights were made from. An existing checkpoint is replaced only once the new one is
    complete; a full disk raises `TrainingError` and leaves the old one as it was.
    """
    final = run_dir / "checkpoint"
    try:
        with new_folder(final) as new:
            shutil.copytree(weights, new, copy_function=link)
            files = _facts(new)
            if files != read_json(listed(weights), TrainingError):
                raise TrainingError(
                    f"{weights}: is not what was written there; remove {run_dir}/train_state to train again"
                )
        for table in tables:
            write_text(run_dir / table.name, table.read_text())
        CheckpointIndex(
            key=key,
            step=step,
            val_loss=val_loss,
            train_loss=train_loss,
            files={name: FileFacts(**facts) for name, facts in files.items()},
            metrics=facts_of(run_dir / METRICS),
            arithmetic=arithmetic(),
        ).write(run_dir / CheckpointIndex.name_of_file)
        sync(run_dir)
    except OSError as error:
        raise _unwritten(final, error) from error


def write_checkpoint(folder: Path, model: Pi0, config: Resolved, stats: Path, lead: bool) -> None:
    """Write the weights of `model`, with all files needed to use them, to `folder`, completely or not at all.

    All ranks call it, since they gather sharded parameters; rank 0 (`lead`) writes.
    """
    tensors = {}
    for name, value in lora.merged(model, whole):
        if lead:
            tensors[name] = value
    try:
        with new_folder(folder) if lead else contextlib.nullcontext(folder) as new:
            if lead:
                write_weights(config.model, tensors.items(), new / "model.safetensors")
                shutil.copyfile(stats, new / "norm_stats.json")
                write_json(new / "model.json", config.model.model_dump(mode="json"))
                write_json(new / "format.json", config.format.model_dump(mode="json"))
            if isinstance(config.finetune, Lora):
                lora.save_adapter(model, new, whole, lead)
            if lead:
                write_json(listed(folder), _facts(new))
    except (OSError, SafetensorError) as error:
        raise _unwritten(folder, error) from error


def _facts(folder: Path) -> dict[str, Any]:
    return {path.relative_to(folder).as_posix(): file_facts(path) for path in files_below(folder)}


def _unwritten(folder: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"{folder}: the checkpoint cannot be written: {error}; the training state is intact: "
        "make room and run the same command again"
    )
