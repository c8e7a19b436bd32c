"""Measure success in ManiSkill 3 with and without cameras, and of doing nothing, on the same test episodes.

    python benchmarks/bench_maniskill.py        (make bench-maniskill)

Builds what is missing through Snakemake, evaluates the policy that does nothing, and prints successes with 95 % Wilson
intervals and Fisher's exact test (two-sided) of each pair.
"""

import argparse
import itertools
import os
import subprocess
import sys
from pathlib import Path

from bench_success import overall, show
from evaluate_zero import floor
from pisft.cli import run
from pisft.evaluate.intervals import fisher

SEEING, BLIND, NOTHING = "maniskill_tiny", "maniskill_tiny_blind", "doing nothing"


def main() -> int:
    """Evaluate both experiments and doing nothing, and print success and tests; returns Snakemake's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="simulator processes")
    args = parser.parse_args()
    targets = [f"results/{name}/eval.json" for name in (SEEING, BLIND)]
    if code := subprocess.run([sys.executable, "-m", "snakemake", *targets]).returncode:
        return code
    # the blind experiment has the same protocol, and renders no images
    nothing, _ = floor(Path(f"results/{BLIND}/config.json"), args.workers)
    counts = {name: overall(name) for name in (SEEING, BLIND)}
    counts[NOTHING] = nothing.successes, nothing.episodes
    print("\n| policy | successes | success | 95 % interval |\n|---|---|---|---|")
    for name, (successes, episodes) in counts.items():
        show(name, successes, episodes)
    print("\n| Fisher's exact test, two-sided | p |\n|---|---|")
    for one, other in itertools.combinations(counts, 2):
        print(f"| {one} against {other} | {fisher(*counts[one], *counts[other]):.2e} |")
    return 0


if __name__ == "__main__":
    run(main)
