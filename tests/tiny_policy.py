"""A tiny model that was never trained, to be rolled out in MetaWorld and served: start from `make_policy`."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from made_up import write_index
from metaworld_config import simulator
from pisft.canonical import write_json
from pisft.config import Resolved
from pisft.model import Pi0, save_weights
from tiny_training import make_experiment


def make_policy(folder: Path, dataset: Path) -> Resolved:
    """`folder`/results/tiny with a config, statistics of `dataset` and random weights."""
    torch.set_num_threads(1)
    tiny = make_experiment(folder, dataset)
    loop = {"simulator": "mw", "suites": ["both", "one"], "episodes_per_task": 2, "replan_steps": 3, "batch_size": 3}
    content = tiny.model_dump(mode="json", by_alias=True) | {
        "eval": {"open_loop": {"episodes": 50}, "closed_loop": loop | {"seed": 1}},
        "simulators": {"mw": simulator(max_steps=12).model_dump(mode="json")},
    }
    config = Resolved.model_validate(content)
    run_dir = folder / "results/tiny"
    write_json(run_dir / "config.json", config.model_dump(mode="json", by_alias=True))
    (run_dir / "checkpoint").mkdir()
    torch.manual_seed(0)
    weights = run_dir / "checkpoint/model.safetensors"
    save_weights(Pi0(tiny.model), weights)
    shutil.copyfile(run_dir / "norm_stats.json", weights.with_name("norm_stats.json"))
    write_index(run_dir, step=8)
    return config
