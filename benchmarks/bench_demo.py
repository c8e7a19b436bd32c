"""Measure time and memory of `make demo` once installed: the quickstart in an empty copy of the project.

python benchmarks/bench_demo.py --runs 3        (make bench-demo)
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pisft.cli import run

PARTS = ("Snakefile", "config", "profiles", "pyproject.toml", "rules", "scripts", "slurm", "workflow")


def resident_kib(root_pid: int) -> int:
    """Return the resident memory (KiB) of a process and its descendants; shared pages count for each process."""
    parents, sizes = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue  # the process has ended
        pid = int(status.parent.name)
        parents[pid], sizes[pid] = int(fields["PPid"]), int(fields.get("VmRSS", "0 kB").split()[0])

    def descends(pid: int) -> bool:
        while pid and pid != root_pid:
            pid = parents.get(pid, 0)
        return pid == root_pid

    return sum(size for pid, size in sizes.items() if descends(pid))


def measure() -> tuple[float, float, str]:
    """Return minutes, peak GiB and success of one run."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in PARTS:
            copy = shutil.copytree if Path(part).is_dir() and not Path(part).is_symlink() else shutil.copy
            copy(part, root / part, **({"follow_symlinks": False} if copy is shutil.copy else {"symlinks": True}))
        start, peak = time.monotonic(), 0
        with (root / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "results/quickstart/report.html"],
                cwd=root,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            while process.poll() is None:
                peak = max(peak, resident_kib(process.pid))
                time.sleep(0.5)
        if process.returncode:
            print((root / "log").read_text()[-2000:], file=sys.stderr)
            sys.exit(1)
        minutes = (time.monotonic() - start) / 60
        overall = json.loads((root / "results/quickstart/eval.json").read_text())["closed_loop"]["overall"]
        return minutes, peak / 2**20, f"{overall['successes']}/{overall['episodes']}"


def main() -> None:
    """Repeat the quickstart and print minutes, peak memory (GiB) and success."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1, help="how often")
    args = parser.parse_args()
    results = [measure() for _ in range(args.runs)]
    for label, values in (("minutes", [r[0] for r in results]), ("peak GiB", [r[1] for r in results])):
        print(f"{label}: min {min(values):.2f}, median {statistics.median(values):.2f}, max {max(values):.2f}")
    print("success:", ", ".join(r[2] for r in results))


if __name__ == "__main__":
    run(main)
