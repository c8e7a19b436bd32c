"""A run folder with a checkpoint that was never trained: start from `make_checkpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tiny_lerobot
import torch
from made_up import write_index
from pisft.canonical import write_json
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.data.statistics.norm_stats import NormStats, save
from pisft.data.statistics.normalise import Stats
from pisft.model import Pi0, save_weights

CAMERAS = {"base_0_rgb": "observation.images.zed", "right_wrist_0_rgb": "observation.images.arm"}


STATE_DIM, ACTION_DIM = 5, 4


def make_checkpoint(root: Path, model: ModelConfig, name: str = "tiny", **fmt: Any) -> Path:
    """`root`/results/`name` with weights for `model`, each parameter random, and statistics.

    `fmt` overrides a format with two cameras, whose keys do not sort as their slots do.
    """
    run_dir = root / "results" / name
    folder = run_dir / "checkpoint"
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    weights = Pi0(model)
    tiny_lerobot.shake(weights)
    save_weights(weights, folder / "model.safetensors")
    rng = np.random.default_rng(4)
    save(NormStats(random_stats(rng, STATE_DIM), random_stats(rng, ACTION_DIM)), folder / "norm_stats.json")
    write_json(folder / "model.json", model.model_dump(mode="json"))
    content = {
        "cameras": CAMERAS,
        "state": "observation.state",
        "actions": "action",
        "normalisation": "quantile",
        "action_horizon": model.action_horizon,
    }
    write_json(folder / "format.json", FormatConfig.model_validate(content | fmt).model_dump(mode="json"))
    write_index(run_dir)
    return run_dir


def random_stats(rng: np.random.Generator, dims: int) -> Stats:
    """Widths from 0.1 to 1, but for the last dim, which is constant: there an epsilon is all the width there is."""
    centre, width = rng.normal(0, 1, dims), rng.uniform(0.1, 1, dims)
    centre[-1], width[-1] = 0.25, 0.0
    return Stats(mean=centre, std=width, q01=centre - width, q99=centre + width)
