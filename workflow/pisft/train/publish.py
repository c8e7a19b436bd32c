"""The checkpoint as others find it: `<run_dir>/checkpoint/`, then checkpoint.json. Start from `publish`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pisft.canonical import file_facts, write_json
from pisft.config.experiment import Resolved
from pisft.model import Pi0, save_weights
from pisft.train.errors import TrainingError
from pisft.train.state import sync_folder


def publish(run_dir: Path, model: Pi0, config: Resolved, facts: dict[str, Any]) -> list[Path]:
    """Write the weights that `model` holds, with all that is needed to use them; the files that were written.

    checkpoint.json is `facts` and size and sha256 of each file. A checkpoint that is there already is replaced only
    once the new one is complete; a full disk is a `TrainingError` and leaves it as it was.
    """
    final, new, old = run_dir / "checkpoint", run_dir / ".checkpoint.new", run_dir / ".checkpoint.old"
    try:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        new.mkdir()
        save_weights(model, new / "model.safetensors")
        shutil.copyfile(run_dir / "norm_stats.json", new / "norm_stats.json")
        write_json(new / "model.json", config.model.model_dump(mode="json"))
        write_json(new / "format.json", config.format.model_dump(mode="json"))
        for path in new.iterdir():
            _sync(path)
        index = facts | {"files": {path.name: file_facts(path) for path in sorted(new.iterdir())}}
        if final.exists():
            os.rename(final, old)
        os.rename(new, final)
        write_json(run_dir / "checkpoint.json", index)
        sync_folder(run_dir)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{final}: the checkpoint cannot be written: {error}; the training state is intact: "
            "make room and run the same command again"
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return [run_dir / "checkpoint.json", *sorted(final.iterdir())]


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
