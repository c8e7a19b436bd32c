"""Measure success of the quickstart's policy over three training seeds, and with and without cameras, on test seeds.

    python benchmarks/bench_success.py        (make bench-success)

Builds what is missing through Snakemake, then prints successes with 95 % Wilson intervals, and Fisher's exact test
between the policies with and without cameras.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from pisft.cli import run
from pisft.evaluate.intervals import fisher, wilson95

SEEDS = [f"quickstart_seeds~seed={seed}" for seed in range(3)]
EYES = ["button_press", "button_press_blind"]


def overall(name: str) -> tuple[int, int]:
    """Read (successes, episodes) of an evaluated experiment."""
    result = json.loads(Path(f"results/{name}/eval.json").read_text())["closed_loop"]["overall"]
    return result["successes"], result["episodes"]


def show(label: str, successes: int, episodes: int) -> None:
    """Print a row of the table: success with its 95 % Wilson interval."""
    low, high = wilson95(successes, episodes)
    rate = f"{100 * successes / episodes:.1f} %"
    print(f"| {label} | {successes}/{episodes} | {rate} | {100 * low:.1f} – {100 * high:.1f} % |")


def main() -> int:
    """Evaluate the experiments, build what is missing, and print their success; returns Snakemake's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    targets = [f"results/{name}/eval.json" for name in SEEDS + EYES]
    if code := subprocess.run([sys.executable, "-m", "snakemake", *targets]).returncode:
        return code
    print("\n| experiment | successes | success | 95 % interval |\n|---|---|---|---|")
    counts = {name: overall(name) for name in SEEDS + EYES}
    for name in SEEDS:
        show(name, *counts[name])
    show("the three pooled", *(sum(counts[name][i] for name in SEEDS) for i in (0, 1)))
    for name in EYES:
        show(name, *counts[name])
    p = fisher(*counts[EYES[0]], *counts[EYES[1]])
    print(f"\nFisher's exact test, {EYES[0]} against {EYES[1]}: p = {p:.2e} (two-sided)")
    return 0


if __name__ == "__main__":
    run(main)
