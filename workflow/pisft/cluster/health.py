"""Checks whether a node is fit to train on. Start from `fault`."""

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
    """Return why this node is not fit, or None.

    `shared` is a folder that all nodes must see, with `free_gb` GiB free; `gpus` is the number that SLURM allocated
    here.
    """
    return _folder(shared, free_gb) or (_gpus(gpus) if gpus and os.environ.get("PISFT_DEVICE") != "cpu" else None)


def _folder(shared: Path, free_gb: float) -> str | None:
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(_probe(shared, free_gb)), daemon=True)
    thread.start()  # an unresponsive network disk blocks forever
    thread.join(SLOW_S)
    return f"{shared}: no answer within {SLOW_S:.0f} s" if thread.is_alive() else found[0]


def _probe(shared: Path, free_gb: float) -> str | None:
    path = shared / f".probe.{uuid.uuid4().hex}"
    try:
        path.write_text("written")
        read = path.read_text()
        path.unlink()
        free = shutil.disk_usage(shared).free / GIB
    except OSError as error:
        return f"{shared}: {error.strerror}"
    if read != "written":
        return f"{shared}: what was read back differs from what was written"
    if free < free_gb:
        return f"{shared}: {free:.1f} GiB free, {free_gb} needed (config/site.yaml: train.free_gb)"
    return None


def _gpus(count: int) -> str | None:
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < count:
        why = f" ({' '.join(str(said[0].message).split())})" if said else ""
        return (
            f"{count} GPUs were allocated, torch can use {found}{why}; it needs a driver for CUDA {torch.version.cuda}"
        )
    for number in range(count):
        try:
            torch.ones(8, device=f"cuda:{number}").sum().item()
        except RuntimeError as error:
            return f"GPU {number} cannot compute: {' '.join(str(error).split())[:200]}"
    return None
