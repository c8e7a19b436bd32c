"""Measure the cost of reading data: normalisation statistics against openpi's way, and verifying a frame store.

    python benchmarks/bench_data.py norm-stats        (make bench-data runs both)
    python benchmarks/bench_data.py verify

`norm-stats` compares, alternating and at the same number of workers,

    loader      a DataLoader over LeRobotDataset that decodes the video and feeds running statistics, as openpi does
    histogram   the same running statistics, fed from the parquet columns, a share of the episodes a worker
    ours        pisft.data.statistics.measure, exact, on all episodes

with the keys of RoboTwin (14 state and 14 action dims, horizon 50, delta mask 6, -1, 6, -1) and one camera of 224
pixels. The time to start workers counts for ours alone. Then scripts/norm_stats.py reads a million frames, and the
memory of its processes is measured.

`verify` trains the quickstart for a few steps alternating, with and without hashing a file of pixels in the background,
which in training happens once on each machine for each store.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pisft.canonical import write_json
from pisft.config.dataset import SyntheticDataset
from pisft.config.format import Feature
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources.synthetic import generate
from pisft.data.statistics.measure import measure
from pisft.data.transforms.format import Format

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "data/bench"
FORMAT = "pi0_aloha_robotwin"
CAMERA = "observation.images.cam_high"
VECTORS = ("observation.state", "action")
HORIZON = 50
FILE_ROWS = 250_000  # in a parquet file
LOADER_BATCHES = 20  # timed
HISTOGRAM_FRAMES = 16_384  # timed, for each worker


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    stats = what.add_parser("norm-stats", help="normalisation statistics")
    stats.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    stats.add_argument("--turns", type=int, default=5)
    stats.add_argument("--batches", type=int, nargs="+", default=[32, 256], help="batch sizes of openpi's way")
    stats.set_defaults(run=norm_stats)
    hashing = what.add_parser("verify", help="a frame store's hash, beside training")
    hashing.add_argument("--turns", type=int, default=5)
    hashing.add_argument("--gib", type=float, default=4.0, help="of the file")
    hashing.set_defaults(run=verify)
    args = parser.parse_args()
    args.run(args)


def verify(args: argparse.Namespace) -> None:
    """Print the rate of hashing a frame store beside training (GiB/s), and how much longer a step takes meanwhile."""
    from pisft.config import read_resolved
    from pisft.model.runtime import configure
    from pisft.train.distribution.world import World
    from pisft.train.loop import Trainer
    from pisft.verified import InBackground

    run_dir = ROOT / "results/quickstart"
    if not (run_dir / "norm_stats.json").is_file():
        sys.exit("results/quickstart/norm_stats.json is missing; run: snakemake results/quickstart/norm_stats.json")
    config = read_resolved(run_dir / "config.json")
    configure(threads=config.train.threads)
    trainer = Trainer(config, run_dir, ROOT / "data", "bench-verify", World())

    def steps(until: Callable[[float], bool]) -> float:
        """Train until `until(seconds that have passed)`; returns the seconds of a step."""
        start, count = time.perf_counter(), 0
        while not until(time.perf_counter() - start):
            trainer.update(trainer.batches.make(count))
            count += 1
        return (time.perf_counter() - start) / count

    ratios, rates = [], []
    with tempfile.TemporaryDirectory(dir=ROOT / "data") as folder:
        pixels = Path(folder) / "pixels.u8"
        block = np.random.default_rng(0).bytes(2**24)
        with pixels.open("wb") as file:
            for _ in range(round(args.gib * 64)):
                file.write(block)
        steps(lambda passed: passed > 2)
        for repetition in range(args.turns):
            started = time.perf_counter()
            background = InBackground({"pixels.u8": (pixels, "")}, Path(folder) / f"notes.{repetition}.json")
            beside = steps(lambda _, background=background: not background.is_running)
            lasted = time.perf_counter() - started
            rates.append(args.gib / lasted)
            ratios.append(beside / steps(lambda passed, lasted=lasted: passed > lasted))
    told = [" / ".join(f"{x:.2f}" for x in (min(v), statistics.median(v), max(v))) for v in (rates, ratios)]
    print(f"hashing beside training: {told[0]} GiB/s; a step takes {told[1]} times as long meanwhile")


def norm_stats(args: argparse.Namespace) -> None:
    """Print frames/s of measuring statistics, ours and the other ways, which take turns."""
    root = dataset("video", [CAMERA], 500_000)
    size = args.batches[0]
    sides: dict[str, Callable[[], float]] = {f"loader, batches of {size}": lambda: loader(root, size, args.workers)}
    for batch in args.batches:
        sides[f"histogram, batches of {batch}"] = lambda batch=batch: histograms(root, batch, args.workers)
    sides["ours"] = lambda: ours(root, args.workers)
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for repetition in range(args.turns):
        for side, frames_per_second in sides.items():
            rates[side].append(frames_per_second())
        print(
            f"round {repetition + 1}: " + ", ".join(f"{side} {found[-1]:,.0f}" for side, found in rates.items()),
            flush=True,
        )
    print(
        f"\nframes/s with {args.workers} workers, min / median / max of {args.turns} rounds; ours is so many times it"
    )
    for side, found in rates.items():
        ratios = [a / b for a, b in zip(rates["ours"], found, strict=True)]
        print(f"  {side:26} {summary(found):>32}   {summary(ratios)}")
    million(args.workers)


def summary(values: list[float]) -> str:
    """Return minimum, median and maximum as text."""
    three = (min(values), statistics.median(values), max(values))
    return " / ".join(f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in three)


def dataset(name: str, cameras: list[str], frames: int) -> Path:
    """Return a generated dataset in data/bench/, made once: episodes of about 250 frames, each a random walk of its
    own.

    They show one of five videos, which lerobot's metadata allows.
    """
    root = BENCH / f"norm_stats_{name}"
    if not root.is_dir():
        features = {camera: Feature(dtype="video", shape=[224, 224, 3]) for camera in cameras}
        features |= {key: Feature(shape=[14]) for key in VECTORS}
        BENCH.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BENCH) as folder:
            few = Path(folder) / "lerobot"
            generate(SyntheticDataset(features=features, fps=50, episodes=5, frames=248), few)
            repeat(few, -(-frames // 1250))
            few.rename(root)
    return root


def repeat(root: Path, times: int) -> None:
    """Repeat the episodes of a dataset `times` times, with other states and actions each time."""
    rng = np.random.default_rng(0)
    (rows_path,), (episodes_path,) = (root / "data").rglob("*.parquet"), (root / "meta/episodes").rglob("*.parquet")
    rows, episodes = pq.read_table(rows_path), pq.read_table(episodes_path)
    episodes = episodes.select([name for name in episodes.column_names if not name.startswith("stats/")])
    per_file = FILE_ROWS // rows.num_rows
    rows_path.unlink()
    listed: list[pa.Table] = []
    written: list[pa.Table] = []
    for i in range(times):
        step = {"episode_index": i * episodes.num_rows}
        part = shifted(rows, step | {"index": i * rows.num_rows})
        walk = np.sin(rng.normal(0, 0.02, (rows.num_rows, 14)).cumsum(0) + rng.uniform(0, 6, 14))
        for key, x in zip(VECTORS, (walk, walk + rng.normal(0, 0.01, walk.shape)), strict=True):
            field = rows.schema.field(key)
            column = pa.FixedSizeListArray.from_arrays(pa.array(np.float32(x).ravel()), type=field.type)
            part = part.set_column(part.column_names.index(key), field, column)
        written.append(part)
        step |= dict.fromkeys(("dataset_from_index", "dataset_to_index"), i * rows.num_rows)
        listed.append(shifted(episodes, step | {"data/file_index": i // per_file}))
        if len(written) == per_file or i == times - 1:
            pq.write_table(pa.concat_tables(written), rows_path.with_name(f"file-{i // per_file:03d}.parquet"))
            written = []
    pq.write_table(pa.concat_tables(listed), episodes_path)
    info = json.loads((root / "meta/info.json").read_text())
    count = times * episodes.num_rows
    info |= {"total_episodes": count, "total_frames": times * rows.num_rows, "splits": {"train": f"0:{count}"}}
    write_json(root / "meta/info.json", info)


def shifted(table: pa.Table, by: dict[str, int]) -> pa.Table:
    """Return `table` with the numbers `by` added to its columns."""
    for name, step in by.items():
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(name), pc.add(table[name], step))
    return table


def ours(root: Path, workers: int) -> float:
    """Return frames/s overall, including opening the dataset and starting workers."""
    start = time.perf_counter()
    data = LeRobotData(root)
    measure([(data, None)], the_format(), HORIZON, workers)
    return data.num_frames / (time.perf_counter() - start)


def histograms(root: Path, batch: int, workers: int) -> float:
    """Return frames/s of all workers together, from when their columns are in memory."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return sum(pool.map(histogram, [root] * workers, [batch] * workers, range(workers)))


def histogram(root: Path, batch: int, worker: int) -> float:
    """Return frames/s of one worker on its share of the episodes."""
    data, fmt = LeRobotData(root), the_format()
    columns = {key: data.column(key) for key in fmt.vector_keys}
    states, actions = fmt.state(columns), fmt.absolute_actions(columns)
    last = np.repeat(np.cumsum(data.episode_lengths) - 1, data.episode_lengths)
    first = worker * HISTOGRAM_FRAMES
    running = {"state": RunningStats(), "actions": RunningStats()}
    start = time.perf_counter()
    for rows in np.arange(first, first + HISTOGRAM_FRAMES - HISTOGRAM_FRAMES % batch).reshape(-1, batch):
        chunks = actions[np.minimum(rows[:, None] + np.arange(HORIZON), last[rows, None])]
        running["state"].update(states[rows])
        running["actions"].update(fmt.to_relative(chunks, states[rows]))
    for stats in running.values():
        stats.quantile(0.01), stats.quantile(0.99)
    return running["state"].count / (time.perf_counter() - start)


def loader(root: Path, batch: int, workers: int) -> float:
    """Return frames/s after the batches that were prefetched while workers started."""
    from torch.utils.data import DataLoader

    batches = DataLoader(
        LeRobotSamples(root),
        batch_size=batch,
        num_workers=workers,
        multiprocessing_context="spawn",
        collate_fn=stacked,
        drop_last=True,
    )
    running = {"state": RunningStats(), "actions": RunningStats()}
    waiting = workers * batches.prefetch_factor
    for i, values in enumerate(batches):
        for name, stats in running.items():
            stats.update(values[name])
        if i == waiting:
            start = time.perf_counter()
        elif i == waiting + LOADER_BATCHES:
            break
    return LOADER_BATCHES * batch / (time.perf_counter() - start)


class LeRobotSamples:
    """A LeRobotDataset after openpi's transforms: images as uint8, a state and a chunk of relative actions."""

    def __init__(self, root: Path):
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        fps = LeRobotData(root).fps
        ahead = {"action": [i / fps for i in range(HORIZON)]}
        self.dataset = LeRobotDataset("bench/data", root=root, delta_timestamps=ahead, video_backend="pyav")
        self.format = the_format()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        sample = self.dataset[index]
        state, actions = (sample[key].numpy() for key in VECTORS)
        image = (255 * sample[CAMERA].numpy()).astype(np.uint8).transpose(1, 2, 0)
        return {"image": image, "state": state, "actions": self.format.to_relative(actions, state)}


def stacked(samples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Collate a batch."""
    return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}


class RunningStats:
    """openpi's statistics: running mean and mean of squares; quantiles from a histogram of 5000 bins a dim.

    The bins span the values so far: when the span grows, new bins are made and old counts move to where their bins
    begin.
    """

    def __init__(self, bins: int = 5000):
        self.bins, self.count = bins, 0

    def update(self, batch: np.ndarray) -> None:
        """Add values (..., d)."""
        self.count += len(batch)
        values = batch.reshape(-1, batch.shape[-1])
        low, high = values.min(axis=0), values.max(axis=0)
        if self.count == len(batch):
            self.values, self.mean, self.mean_of_squares = 0, np.zeros(len(low)), np.zeros(len(low))
            self.low, self.high = low, high
            self.edges = self._edges()
            self.counts = np.zeros((len(low), self.bins))
        elif (low < self.low).any() or (high > self.high).any():
            self.low, self.high = np.minimum(low, self.low), np.maximum(high, self.high)
            old, self.edges = self.edges, self._edges()
            for dim, counts in enumerate(self.counts):
                self.counts[dim] = np.histogram(old[dim][:-1], self.edges[dim], weights=counts)[0]
        self.values += len(values)
        share = len(values) / self.values
        self.mean += (values.mean(axis=0) - self.mean) * share
        self.mean_of_squares += ((values**2).mean(axis=0) - self.mean_of_squares) * share
        for dim, column in enumerate(values.T):
            self.counts[dim] += np.histogram(column, self.edges[dim])[0]

    def quantile(self, quantile: float) -> np.ndarray:
        """Return the left edge of the bin that holds the quantile, for each dim."""
        places = [np.searchsorted(np.cumsum(counts), quantile * self.values) for counts in self.counts]
        return np.array([edges[place] for edges, place in zip(self.edges, places, strict=True)])

    def _edges(self) -> list[np.ndarray]:
        ends = zip(self.low - 1e-10, self.high + 1e-10, strict=True)
        return [np.linspace(low, high, self.bins + 1) for low, high in ends]


def million(workers: int) -> None:
    """Run scripts/norm_stats.py on a million frames; prints seconds, and the resident memory of all processes."""
    root = dataset("million", [], 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        command = ["scripts/norm_stats.py", "--config-name", FORMAT, "--repo-id", str(root)]
        options = ["--output", folder, "--workers", str(workers)]
        start, peak = time.perf_counter(), 0
        process = psutil.Popen([sys.executable, *command, *options], cwd=ROOT, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            peak = max(peak, resident(process))
            time.sleep(0.01)
        seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}")
    print(
        f"\n1,000,000 frames with {workers} workers: {seconds:.1f} s, peak RSS of all processes {peak / 2**20:.0f} MiB"
    )


def resident(process: psutil.Process) -> int:
    """Return the resident bytes of a process and its descendants; shared pages count for each."""
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # it has just ended
    return total


def the_format() -> Format:
    """Read the format of the generated datasets from config/formats/."""
    return Format.from_yaml(ROOT / f"config/formats/{FORMAT}.yaml")


if __name__ == "__main__":
    main()
