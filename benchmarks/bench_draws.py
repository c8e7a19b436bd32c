"""Measure the effect of several noise draws a prefix pass (`train.flow_samples_per_prefix`) on val_loss in equal time.

    python benchmarks/bench_draws.py        (make bench-draws)

The quickstart's data and model at a constant learning rate; every setting trains for the same CPU seconds, in rounds of
a few steps, so that other load on the machine affects all alike.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from pisft.config import read_resolved
from pisft.model.runtime import configure
from pisft.train.distribution.world import World
from pisft.train.loop import Trainer

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Train with each number of draws for the same CPU seconds and print val_loss at three times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of training a setting")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    configure()
    marks = [args.seconds * share for share in (0.25, 0.5, 1.0)]
    print(f"{'draws':>6}{'seed':>6}{'steps':>7}" + "".join(f"{f'val_loss at {mark:.0f} s':>20}" for mark in marks))
    for seed in args.seeds:
        runs = {draws: Run(draws, seed, marks) for draws in args.draws}
        while any(not run.ended for run in runs.values()):
            for run in runs.values():
                run.go_on()
        for draws, run in runs.items():
            print(f"{draws:>6}{seed:>6}{run.trainer.step:>7}" + "".join(f"{loss:>20.5f}" for loss in run.losses))


class Run:
    """One setting, trained a few steps at a time."""

    def __init__(self, draws: int, seed: int, marks: list[float]):
        run_dir = ROOT / "results/quickstart"
        if not (run_dir / "norm_stats.json").is_file():
            sys.exit("results/quickstart/norm_stats.json is missing; run: snakemake results/quickstart/norm_stats.json")
        config = read_resolved(run_dir / "config.json")
        changes = {"flow_samples_per_prefix": draws, "seed": seed, "steps": 20_000, "end_lr": config.train.peak_lr}
        config = config.model_copy(update={"train": config.train.model_copy(update=changes)})
        self.trainer = Trainer(config, run_dir, ROOT / "data", f"bench-{draws}-{seed}", World())
        self.marks, self.losses, self.seconds = marks, [], 0.0

    @property
    def ended(self) -> bool:
        """Whether the last mark has been passed."""
        return len(self.losses) == len(self.marks)

    def go_on(self, steps: int = 10) -> None:
        """Train some steps; validate at each mark that is passed."""
        if self.ended:
            return
        start = time.process_time()
        for _ in range(steps):
            self.trainer.update(self.trainer.batches.make(self.trainer.step))
            self.trainer.step += 1
        self.seconds += time.process_time() - start
        while not self.ended and self.seconds >= self.marks[len(self.losses)]:
            self.losses.append(self.trainer.validate()["val_loss_real_dims"])


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
