"""A checkpoint as openpi's PyTorch code and RLinf load it. Start from `export`.

Both read `model.safetensors`, whose keys are ours already. openpi looks for the statistics in `assets/<asset id>/`,
RLinf in `<repo id>/`; for both the id is that of the dataset in their own registry.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pisft.export.checkpoint import Checkpoint, replacing, write_json


def export(checkpoint: Checkpoint, folder: Path, repo_id: str) -> None:
    """Write `folder` with the statistics under `repo_id`, such as physical-intelligence/libero."""
    model = checkpoint.model
    with replacing(folder) as new:
        try:
            os.link(checkpoint.weights, new / "model.safetensors")
        except OSError:  # another disk
            shutil.copyfile(checkpoint.weights, new / "model.safetensors")
        for place in (Path(repo_id), Path("assets", repo_id)):
            (new / place).mkdir(parents=True)
            shutil.copyfile(checkpoint.folder / "norm_stats.json", new / place / "norm_stats.json")
        content = {
            "action_dim": model.action_dim,
            "action_horizon": model.action_horizon,
            "paligemma_variant": "gemma_2b",
            "action_expert_variant": "gemma_300m",
            "precision": "float32",
        }
        write_json(new / "config.json", content)
