"""Measure CPU seconds of `snakemake -n` on the quickstart, and of Snakemake alone.

python benchmarks/bench_start.py --runs 5       (make bench-start)
"""

import argparse
import resource
import statistics
import subprocess
import sys

from pisft.cli import run


def cpu_seconds(*command: str) -> float:
    """Return the CPU seconds, user and system, of `snakemake` with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "snakemake", *command], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print the CPU seconds of a dry run and of `snakemake --version`, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often")
    runs = parser.parse_args().runs
    commands = {"-n": ("-n", "results/quickstart/report.html"), "--version": ("--version",)}
    times = {label: [cpu_seconds(*command) for _ in range(runs)] for label, command in commands.items()}
    ratios = [a / b for a, b in zip(times["-n"], times["--version"], strict=True)]
    for label, values in (*times.items(), ("ratio", ratios)):
        print(
            f"snakemake {label}: min {min(values):.2f}, median {statistics.median(values):.2f}, max {max(values):.2f}"
        )


if __name__ == "__main__":
    run(main)
