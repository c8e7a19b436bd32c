"""Measure what a cluster costs: submission, preemption and requeueing of a two-node job, against two local processes.

python benchmarks/bench_slurm.py --runs 3        (make bench-slurm, with a cluster from make slurm-up)
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pisft.cli import run

PARTS = ("Snakefile", "config", "profiles", "pyproject.toml", "rules", "scripts", "slurm", "workflow")
EXPERIMENT = """
model: quickstart
format: pi0_libero
datasets: [{name: pi0_libero~smoke}]
split: {heldout_fraction: 0.25}
train: {steps: STEPS, global_batch_size: BATCH, warmup_steps: 2, precision: fp32, log_every: 1, validate_every: STEPS,
  save_every: 20}
logging: {tensorboard: false}
cluster: CLUSTER
"""
SITE = "{train: {minutes: 60, memory_gb: 4, cpus: 1}}"


class Training:
    """An experiment in a copy of the project `root`, and the times of its steps."""

    def __init__(self, root: Path, name: str, cluster: str, steps: int, batch: int = 8):
        self.root, self.name = root, name
        text = EXPERIMENT.replace("STEPS", str(steps)).replace("CLUSTER", cluster).replace("BATCH", str(batch))
        (root / f"config/experiments/{name}.yaml").write_text(text)
        subprocess.run([sys.executable, "-m", "snakemake", "-c2", f"results/{name}/norm_stats.json", *frames()],
                       cwd=root, check=True, capture_output=True)  # fmt: skip
        self.states = root / f"results/{name}/train_state"
        self.steps: list[tuple[float, int]] = []  # (time at which a row was seen, its step)

    def train(self, launcher: str, disturb: Callable[["Training"], bool] = lambda _: True) -> float:
        """Return the seconds from the command to its end; `disturb` is called repeatedly until it returns True."""
        command = [sys.executable, "scripts/train.py", f"results/{self.name}/config.json", "--launcher", launcher]
        start = time.monotonic()
        self.started, disturbed = start, False
        with (self.root / f"{self.name}.log").open("w") as log:
            process = subprocess.Popen(command, cwd=self.root, stdout=log, stderr=subprocess.STDOUT)
            while process.poll() is None:
                self.look()
                disturbed = disturbed or disturb(self)
                time.sleep(0.05)
        if process.returncode:
            sys.exit((self.root / f"{self.name}.log").read_text()[-2000:])
        return time.monotonic() - start

    def look(self) -> None:
        """Note a new row of metrics.csv."""
        tables = [path.read_text().splitlines() for path in self.states.glob("*/metrics.csv")]
        step = max((int(rows[-1].split(",")[0]) for rows in tables if len(rows) > 1), default=0)
        if step and (not self.steps or step != self.steps[-1][1]):
            self.steps.append((time.monotonic(), step))

    @property
    def step(self) -> int:
        """The last step that metrics.csv showed; 0 before the first."""
        return self.steps[-1][1] if self.steps else 0

    def job(self) -> str:
        """Return the number of its SLURM job, from the name of the submitted script."""
        (script,) = (self.root / f"results/{self.name}/slurm").glob("*_submission.sh")
        return script.name.split("_")[0]


def frames() -> list[str]:
    """Return the targets of the frame stores that the experiment trains on."""
    return [f"data/pi0_libero~smoke/frames/{camera}/index.json" for camera in ("image.96", "wrist_image.96")]


def disturbance(*command: str, at: int = 50) -> Callable[[Training], bool]:
    """Return a `disturb` that runs `command` with the job's number once step `at` is reached, and notes the time."""

    def disturb(training: Training) -> bool:
        if training.step < at:
            return False
        subprocess.run([*command, training.job()], check=True, capture_output=True)
        training.disturbed = time.monotonic()
        return True

    return disturb


def until_next(training: Training) -> float:
    """Return the seconds from the disturbance to the first step after the pause that it caused."""
    after = [when for when, _ in training.steps if when > training.disturbed]
    pauses = [(b - a, b) for a, b in zip([training.disturbed, *after], after, strict=False)]
    return max(pauses)[1] - training.disturbed


def show(label: str, values: list[float], unit: str = "s") -> None:
    """Print minimum, median and maximum."""
    print(f"{label}: min {min(values):.2f}, median {statistics.median(values):.2f}, max {max(values):.2f} {unit}")


def main() -> None:
    """Copy the project and print what submission, preemption and requeueing cost there, and how two nodes scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="how often")
    parser.add_argument("--steps", type=int, default=150, help="of each training")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        root.mkdir()
        for part in PARTS:
            copy = shutil.copytree if Path(part).is_dir() and not Path(part).is_symlink() else shutil.copy
            copy(part, root / part, **({"follow_symlinks": False} if copy is shutil.copy else {"symlinks": True}))
        (root / "config/site.yaml").write_text(SITE)
        os.environ["PYTHONPATH"] = str(root / "workflow")
        jobs(root, args.runs, args.steps)
        scaling(root, args.runs, args.steps)


def jobs(root: Path, runs: int, steps: int) -> None:
    """Compare a job with two local processes, and measure what a disturbance costs it."""
    first, ratio, total, lost = {}, [], {}, {}
    two = "{num_nodes: 2, workers: 1}"
    kinds = {
        "local": ("{gpus: 2, workers: 1}", "local", None),
        "slurm": (two, "slurm", None),
        "warned (USR2)": (two, "slurm", ("scancel", "--signal=USR2")),
        "requeued from outside": (two, "slurm", ("scontrol", "requeue")),
    }
    pauses: dict[str, list[float]] = {}
    for repetition in range(runs):
        for kind, (cluster, launcher, command) in kinds.items():
            training = Training(root, f"{launcher}_{len(pauses)}_{repetition}_{kind.split()[0]}", cluster, steps)
            took = training.train(launcher, disturbance(*command) if command else lambda _: True)
            total.setdefault(kind, []).append(took)
            first.setdefault(kind, []).append(training.steps[0][0] - training.started)
            if command:
                pauses.setdefault(kind, []).append(until_next(training))
                lost.setdefault(kind, []).append(took - total["slurm"][-1])
        ratio.append(first["slurm"][-1] / first["local"][-1])
    show("from the command to the first step, two processes here", first["local"])
    show("from the command to the first step, a job of two nodes", first["slurm"])
    show("their ratio", ratio, "")
    for kind, values in pauses.items():
        show(f"{kind}: from the signal to the next step", values)
        show(f"{kind}: longer than without, altogether", lost[kind])


def scaling(root: Path, runs: int, steps: int) -> None:
    """Compare 1, 2 and 4 processes on the cores of this machine, with batches large enough to share."""
    speed: dict[int, list[float]] = {}
    for repetition in range(runs):
        for processes in (1, 2, 4):
            cluster = f"{{gpus: {processes}, workers: 1}}"
            training = Training(root, f"scaling_{processes}_{repetition}", cluster, steps // 3, batch=64)
            training.train("local")
            begin, end = training.steps[len(training.steps) // 4], training.steps[-1]
            speed.setdefault(processes, []).append((end[1] - begin[1]) / (end[0] - begin[0]))
    cores = len(os.sched_getaffinity(0))
    for processes, values in speed.items():
        ideal = min(processes, cores)
        ratios = [value / alone for value, alone in zip(values, speed[1], strict=True)]
        show(f"steps/s of {processes} processes over those of 1 (ideal on {cores} cores: {ideal})", ratios, "")


if __name__ == "__main__":
    run(main)
