"""Measure success of π₀.₅ from scratch, and of adapters on a task that the base has not seen beside their controls.

    python benchmarks/bench_finetune.py        (make bench-finetune)

Builds what is missing through Snakemake, then prints successes on test seeds with 95 % Wilson intervals.
"""

import argparse
import subprocess
import sys

from bench_success import overall, show
from pisft.cli import run

EXPERIMENTS = {
    "quickstart_pi05": "π₀.₅, three tasks, 2,000 steps from scratch",
    "quickstart_lora": "openpi's adapters, 1,000 steps on an unseen task",
    "quickstart_lora_rlinf": "RLinf's adapters, as long",
    "quickstart_lora_full": "every parameter, as long",
    "quickstart_lora_scratch": "every parameter, from random weights, as long",
    "quickstart_lora_zero_shot": "the base as it is",
}


def main() -> int:
    """Evaluate the experiments, build what is missing, and print their success; returns Snakemake's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    targets = [f"results/{name}/eval.json" for name in EXPERIMENTS]
    if code := subprocess.run([sys.executable, "-m", "snakemake", *targets]).returncode:
        return code
    print("\n| experiment | successes | success | 95 % interval |\n|---|---|---|---|")
    for name, what in EXPERIMENTS.items():
        show(f"{name}: {what}", *overall(name))
    return 0


if __name__ == "__main__":
    run(main)
