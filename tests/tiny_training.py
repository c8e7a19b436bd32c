"""Experiments of a few seconds: `make_experiment` writes one, `run` trains it here, `start` in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from pisft.canonical import digest
from pisft.config import Resolved, read_resolved
from pisft.data.statistics.norm_stats import compute, save
from pisft.data.transforms.format import Format
from pisft.errors import PisftError
from pisft.train import loop
from pisft.train.distribution import world
from pisft.train.loop import train
from tiny_model import MODEL

KEY = "0123456789abcdef" * 4
FORMAT = {
    "cameras": {"base_0_rgb": "observation.image"},
    "state": "observation.state",
    "actions": "action",
    "normalisation": "quantile",
    "action_horizon": 4,
}
TRAIN = {
    "steps": 8,
    "global_batch_size": 4,
    "flow_samples_per_prefix": 2,
    "peak_lr": 1e-2,
    "end_lr": 1e-3,
    "warmup_steps": 2,
    "decay_steps": 8,
    "ema": 0.9,
    "precision": "fp32",
    "threads": 1,
    "log_every": 2,
    "validate_every": 4,
    "save_every": 3,
}


def make_experiment(
    folder: Path,
    dataset: Path,
    cluster: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    parts: dict[str, Any] | None = None,
    **changes: Any,
) -> Resolved:
    """Write `folder`/results/tiny (config.json, norm_stats.json) and `folder`/data/tiny.

    `changes` go into `train`, `model` into the model; `parts` are whole parts of the experiment.
    """
    run_dir, data = folder / "results/tiny", folder / "data/tiny"
    run_dir.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "lerobot").exists():
        (data / "lerobot").symlink_to(dataset)
    config = Resolved.model_validate(
        {
            "name": "tiny",
            "model_name": "tiny",
            "model": MODEL | (model or {}),
            "format": FORMAT,
            "datasets": [{"name": "tiny", "origin": {"source": "local", "path": "data/tiny/lerobot"}}],
            "split": {"heldout_fraction": 0.2},
            "train": TRAIN | changes,
            "simulators": {},
            "logging": {"tensorboard": False},
            "cluster": cluster or {},
        }
        | (parts or {})
    )
    (run_dir / "config.json").write_text(json.dumps(config.model_dump(mode="json", by_alias=True)))
    save(compute(dataset, Format(config.format), config.format.action_horizon), run_dir / "norm_stats.json")
    return config


def run(folder: Path) -> list[Path]:
    """Train what `make_experiment` wrote in `folder`, on one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    loop.PATIENCE_S = 0.0
    run_dir = folder / "results/tiny"
    config = read_resolved(run_dir / "config.json")
    return train(
        config, run_dir, folder / "data", digest(config.model_dump(mode="json", exclude={"cluster", "logging"})), KEY
    )


def run_as(folder: Path, rank: int, nodes: int, local: int, port: int, mesh: tuple[int, ...]) -> None:
    """`run(folder)` as the process `rank` of `local` on each of `nodes`, which has to make this `mesh`."""
    where = {"RANK": rank, "LOCAL_RANK": rank % local, "WORLD_SIZE": nodes * local, "LOCAL_WORLD_SIZE": local}
    where |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    os.environ |= {name: str(value) for name, value in where.items()}
    with mock.patch.object(world, "init_device_mesh", wraps=world.init_device_mesh) as made:
        run(folder)
    assert [call.args for call in made.call_args_list] == [("cpu", mesh)]


def start(folder: Path, kill_after: float | None = None, file_limit: int | None = None) -> multiprocessing.Process:
    """`run(folder)` in a new process, which exits as a script would and writes stderr to `folder`/log.

    It kills itself after `kill_after` seconds of training, and can write no file of more than `file_limit` bytes.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pisft.train.loop"])
    process = context.Process(target=_main, args=(folder, kill_after, file_limit))
    process.start()
    return process


def _main(folder: Path, kill_after: float | None, file_limit: int | None) -> None:
    sys.stderr = (folder / "log").open("w", buffering=1)
    if kill_after is not None:
        threading.Timer(kill_after, os.kill, (os.getpid(), signal.SIGKILL)).start()
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    try:
        run(folder)
    except PisftError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
