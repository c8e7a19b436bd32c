"""A few training steps of the smallest models, told by what they come to: one line `<name> <sha256>` for each result.

    python tests/micro_experiment.py DATASET

with workflow on the PYTHONPATH. DATASET is a folder written by `lerobot_data.make_lerobot_dataset`. Run it elsewhere,
or as `qemu-x86_64 -cpu Haswell python …` (qemu 10 or newer), and compare: the lines are the same on every processor.
"""

from __future__ import annotations

import pisft  # noqa: F401 - before numpy and torch, which read what it sets

# isort: split

import argparse
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read with torch

# isort: split

import numpy as np
import torch
import torch.nn.functional as F
from pisft.config.format import FormatConfig
from pisft.data.lerobot.camera import iter_frames
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.sampling import noise_and_time
from pisft.data.statistics.norm_stats import compute
from pisft.data.transforms.format import Format
from pisft.evaluate.video import write_mp4
from pisft.train.distribution.world import World, local_device
from pisft.train.loop import Trainer
from tiny_training import FORMAT, KEY, make_experiment

STEPS = 3
THREADS = 2
EXPERIMENTS = {
    "pi0": {"augment": True},
    "pi05": {"model": {"variant": "pi05"}},
    "bf16": {"precision": "bf16"},
    "lora": {"parts": {"finetune": {"method": "lora", "targets": "rlinf", "rank": 4}}},
}
PARTS = ("operations", "data", *EXPERIMENTS)


def operations() -> Iterator[tuple[str, str]]:
    """What the models are made of, in the widths of the real ones; if an experiment differs, this tells by what."""
    torch.manual_seed(0)
    rows, weight, bias = torch.randn(50, 1152), torch.randn(700, 1152) / 34, torch.randn(700)
    heads, images, filters = torch.randn(1, 4, 50, 64), torch.randn(1, 3, 56, 56), torch.randn(96, 3, 14, 14)
    functions = {
        "random": lambda: rows,
        "linear": lambda: F.linear(rows, weight, bias),
        "linear_bf16": lambda: F.linear(rows.bfloat16(), weight.bfloat16(), bias.bfloat16()),
        "linear_fp64": lambda: F.linear(rows[:, :96].double(), weight[:, :96].double()),
        "gradient": lambda: F.linear(rows, weight).t() @ rows,
        "convolution": lambda: F.conv2d(images, filters, stride=14),
        "attention": lambda: F.scaled_dot_product_attention(heads, heads, heads),
        "softmax": lambda: rows.softmax(-1),
        "layer_norm": lambda: F.layer_norm(rows, rows.shape[1:]),
        "gelu": lambda: F.gelu(rows, approximate="tanh"),
        "silu": lambda: F.silu(rows),
        "sincos": lambda: torch.cat([rows.sin(), rows.cos()]),
        "rsqrt": lambda: (rows.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * rows,
        "norm": lambda: torch.linalg.vector_norm(rows)[None],
        "cumulative": lambda: rows.cumsum(-1),
    }
    for name, function in functions.items():
        yield f"torch.{name}", sha256([function().float().numpy()])
    array = rows.numpy()
    yield "numpy.sum", sha256([array.sum(0), array.sum(1), array.astype(float).sum(1)])
    yield "numpy.loops", sha256([np.exp(array), np.log(abs(array)), np.sin(array), np.tanh(array)])
    yield "numpy.loops_fp64", sha256([f(abs(array.astype(float))) for f in (np.exp, np.log, np.sin, np.tanh, np.sqrt)])
    yield "numpy.product", sha256([array @ array.T, array[:, :96].astype(float) @ array[:, :96].T])
    yield "numpy.sorted", sha256([np.sort(array), np.quantile(array, 0.3, 1)])


def sha256(arrays: Iterable[np.ndarray]) -> str:
    """The hash of all arrays' bytes, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def experiment(name: str, dataset: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Train experiment `name` for a few steps; yields what each stage of it comes to."""
    options = {"steps": STEPS, "threads": THREADS, "validate_every": STEPS, **EXPERIMENTS[name]}
    config = make_experiment(folder, dataset, **options)
    world = World(local_device(config.train.deterministic, THREADS))
    trainer = Trainer(config, folder / "results/tiny", folder / "data", KEY, world)
    yield f"{name}.initial", sha256(p.detach().float().numpy() for p in trainer.model.parameters())
    trainer.run(lambda: False, lambda: None)
    yield f"{name}.losses", sha256([trainer.history.numpy()])
    yield f"{name}.validation", sha256([np.array(list(trainer.val_losses.values()))])
    yield f"{name}.weights", sha256(p.detach().float().numpy() for p in trainer.model.parameters())
    state = trainer.tensors()
    yield f"{name}.state", sha256(state[key].detach().float().numpy() for key in sorted(state))
    yield f"{name}.actions", sha256([actions(trainer)])


@torch.inference_mode()
def actions(trainer: Trainer) -> np.ndarray:
    """The actions that the trained model answers its first batch with."""
    batch = trainer.batches.make(0)[0]
    noise, _ = noise_and_time(1, 0, np.arange(len(batch)), 1, *batch.actions.shape[1:])
    return trainer.model.eval().sample_actions(batch.observation, torch.from_numpy(noise[:, 0])).numpy()


def data(dataset: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """The dataset's decoded video, its statistics, and a video as evaluations write it."""
    read = LeRobotData(dataset)
    images = [images for _, images in iter_frames(read, FORMAT["cameras"]["base_0_rgb"], range(read.num_episodes))]
    yield "data.decoded", sha256(images)
    stats = compute(dataset, Format(FormatConfig.model_validate(FORMAT)), FORMAT["action_horizon"])
    yield "data.statistics", sha256(value for part in (stats.state, stats.actions) for value in asdict(part).values())
    frames, rows, columns = np.mgrid[:8, :64, :64]
    shown = np.stack([rows * 3 + frames * 9, columns * 2 + rows * frames, rows ^ columns], -1).astype(np.uint8)
    write_mp4(folder / "video.mp4", list(shown), 10)
    yield "data.encoded", hashlib.sha256((folder / "video.mp4").read_bytes()).hexdigest()


def main() -> None:
    """Print what every part comes to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    dataset = args.dataset.absolute()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in args.parts:
            if part == "operations":
                results = operations()
            elif part == "data":
                results = data(dataset, folder)
            else:
                results = experiment(part, dataset, folder / part)
            for name, digest in results:
                print(name, digest, flush=True)


if __name__ == "__main__":
    main()
