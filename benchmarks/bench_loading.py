"""Compare samples a second of our training batches with a DataLoader over LeRobotDataset, at equal numbers of workers.

    python benchmarks/bench_loading.py        (make bench-data)

Two datasets: the quickstart's (one camera, 96 pixels), and three cameras of 480×640 video for a model of 224 pixels.
Both sides shuffle; theirs returns decoded frames and action chunks, ours the model's inputs: resized, normalised,
tokenised, as float32, with noise and times. Sides alternate; `cold` drops the page cache before each round. Starting
workers is not counted on either side. At the end, our resident memory over many batches is printed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from pathlib import Path

import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from pisft.config.dataset import SyntheticDataset
from pisft.config.experiment import Resolved
from pisft.config.format import FormatConfig
from pisft.config.resolution import resolve
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.frame_store import build, store_folder
from pisft.data.loading.preprocess import Preprocessor
from pisft.data.loading.training_set import TrainingSet
from pisft.data.sources.library import manifest_of
from pisft.data.sources.synthetic import generate
from pisft.data.statistics.norm_stats import compute
from pisft.data.transforms.format import Format
from pisft.model.runtime import configure
from pisft.train.distribution.world import World
from pisft.train.step.batches import Batches

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "data/bench"
BATCH = 32


def main() -> None:
    """Compare both datasets, or the one that --only names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a round of each side")
    parser.add_argument("--batches", type=int, default=10_000, help="over which resident memory is watched")
    parser.add_argument("--only", choices=["quickstart", "three_cameras"])
    args = parser.parse_args()
    configure()
    torch.set_num_threads(1)
    for name in ("quickstart", "three_cameras"):
        if args.only in (None, name):
            compare(name, *(quickstart() if name == "quickstart" else three_cameras()), args)


def quickstart() -> tuple[Resolved, Path]:
    """Return the quickstart's configuration and data."""
    root = ROOT / "data/metaworld_quickstart/lerobot"
    if not root.is_dir():
        sys.exit(f"{root} is missing; run: snakemake data/metaworld_quickstart/manifest.json")
    return resolve("quickstart", ROOT), root


def three_cameras() -> tuple[Resolved, Path]:
    """Return a bimanual ALOHA's keys, three cameras of 480×640 video, in lerobot's default encoding, for 224 pixels."""
    config = resolve("pi0_aloha_robotwin", ROOT)
    root = BENCH / "three_cameras/lerobot"
    features = FormatConfig.from_yaml(ROOT / "config/formats/pi0_aloha_robotwin.yaml").features
    origin = SyntheticDataset(features=features, fps=30, episodes=12, frames=200)
    if not (root.parent / "manifest.json").is_file():
        root.parent.mkdir(parents=True, exist_ok=True)
        generate(origin, root)
        manifest = manifest_of(LeRobotData(root), "three_cameras", origin.source, {})
        manifest.write(root.parent / manifest.name_of_file)
    model = resolve("pi0_aloha_robotwin~smoke", ROOT).model.model_copy(update={"image_size": 224, "action_horizon": 50})
    return config.model_copy(update={"model": model}), root


def compare(name: str, config: Resolved, root: Path, args: argparse.Namespace) -> None:
    """Print samples/s of ours and theirs with a warm and a cold page cache, and the memory of ours."""
    ours = our_batches(config, root, args.workers)
    theirs = their_batches(config, root, args.workers)
    cameras = len(config.format.cameras)
    size = config.model.image_size
    print(
        f"{name}: {len(ours.frames)} frames, {cameras} camera(s) at {size} pixels, {args.workers} workers", flush=True
    )
    for cache in ("warm", "cold"):
        rates: dict[str, list[float]] = {"theirs": [], "ours": []}
        for repetition in range(args.turns + (cache == "warm")):
            for side in rates:
                if cache == "cold":
                    drop_page_cache()
                batches = theirs() if side == "theirs" else ours.ahead(repetition * 1000, 10**9)
                rate = samples_per_second(batches, args.seconds)
                if cache == "cold" or repetition:  # the first warm round fills the cache
                    rates[side].append(rate)
        ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["theirs"], strict=True)]
        print(
            f"  {cache}: LeRobotDataset {summary(rates['theirs'])} samples/s, ours {summary(rates['ours'])}; "
            f"ratio {summary(ratios)}",
            flush=True,
        )
    watch_memory(ours, args.batches)


def our_batches(config: Resolved, root: Path, workers: int) -> Batches:
    """Return the batches that training would take from the dataset at `root`; builds missing frame stores."""
    fmt = Format(config.format)
    data = LeRobotData(root)
    for camera in config.format.cameras.values():
        if not (store_folder(root, camera, config.model.image_size) / "index.json").is_file():
            for _ in build(data, camera, config.model.image_size, workers):
                pass
    preprocessor = Preprocessor(config.model, fmt, compute(root, fmt, config.format.action_horizon))
    cluster = config.cluster.model_copy(update={"workers": workers, "micro_batch_size": None, "gpus": 1})
    train = config.train.model_copy(update={"global_batch_size": BATCH, "augment": False, "flow_samples_per_prefix": 1})
    config = config.model_copy(update={"cluster": cluster, "train": train})
    return Batches(config, TrainingSet([data], preprocessor), [1.0], World())


def their_batches(config: Resolved, root: Path, workers: int):
    """Return a loader made as in lerobot's own training, with PyAV, which decodes the same pixels as ours."""
    horizon = config.format.action_horizon
    fps = LeRobotData(root).fps
    dataset = LeRobotDataset(
        "bench/data",
        root=root,
        delta_timestamps={source.key: [i / fps for i in range(horizon)] for source in config.format.actions},
        video_backend="pyav",
    )

    def batches():
        loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, drop_last=True)
        return itertools.chain.from_iterable(iter(loader) for _ in itertools.count())

    return batches


def samples_per_second(batches, seconds: float) -> float:
    """Measure from the end of the first batch, which includes the start of the workers."""
    next(batches)
    count, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        next(batches)
        count += BATCH
    if hasattr(batches, "close"):
        batches.close()
    return count / taken


def drop_page_cache() -> None:
    """Drop the page cache of the whole machine if permitted, else of the benchmark's own files."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        for path in (ROOT / "data").rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def watch_memory(batches: Batches, count: int) -> None:
    """Take `count` batches and print the resident memory (MiB) at ten points among them."""
    seen, page = [], os.sysconf("SC_PAGE_SIZE")
    for step, _ in enumerate(batches.ahead(0, count)):
        if step % (count // 10) == count // 20:
            seen.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20)
    print(f"  resident memory over {count} batches, MiB: {' '.join(f'{mib:.0f}' for mib in seen)}", flush=True)


def summary(values: list[float]) -> str:
    """Return minimum, median and maximum as text."""
    low, middle, high = min(values), statistics.median(values), max(values)
    digits = 0 if low >= 100 else 1
    return f"{low:.{digits}f}/{middle:.{digits}f}/{high:.{digits}f}"


if __name__ == "__main__":
    main()
