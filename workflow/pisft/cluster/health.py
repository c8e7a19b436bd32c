"""Whether a node is fit to train on. Start from `fault`."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
import warnings
from pathlib import Path

SLOW_S = 60.0
GIB = 2**30


def fault(shared: Path, gpus: int, free_gb: float) -> str | None:
    """Why this node is not fit, or None.

    `shared` is a folder that all nodes must see, where they need `free_gb` GiB; `gpus` are those that SLURM gave.
    """
    return _folder(shared, free_gb) or (_gpus(gpus) if gpus and os.environ.get("PISFT_DEVICE") != "cpu" else None)


def _folder(shared: Path, free_gb: float) -> str | None:
    found: list[str | None] = []

    def probe() -> None:
        path = shared / f".probe.{uuid.uuid4().hex}"
        try:
            path.write_text("written")
            found.append(None if path.read_text() == "written" else f"{shared}: what is written is not what is read")
            path.unlink()
            free = shutil.disk_usage(shared).free / GIB
            if free < free_gb:
                found.insert(
                    0, f"{shared}: {free:.1f} GiB are free, {free_gb} needed (config/site.yaml: train.free_gb)"
                )
        except OSError as error:
            found.append(f"{shared}: {error.strerror}")

    thread = threading.Thread(target=probe, daemon=True)  # a dead network disk blocks for ever
    thread.start()
    thread.join(SLOW_S)
    return f"{shared}: no answer within {SLOW_S:.0f} s" if thread.is_alive() else found[0]


def _gpus(count: int) -> str | None:
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < count:
        why = f" ({' '.join(str(said[0].message).split())})" if said else ""
        return f"{count} GPUs were given, torch can use {found}{why}; it needs a driver for CUDA {torch.version.cuda}"
    for number in range(count):
        try:
            torch.ones(8, device=f"cuda:{number}").sum().item()
        except RuntimeError as error:
            return f"GPU {number} cannot compute: {' '.join(str(error).split())[:200]}"
    return None
