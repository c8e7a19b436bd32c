"""Test whether the second experiment succeeds more often than the first, overall and by task.

python tools/compare_success.py results/quickstart/eval.json results/quickstart_pi05/eval.json
"""

import argparse
from pathlib import Path

from pisft.cli import run
from pisft.evaluate.compare import Comparison, compare
from pisft.records.evaluation import Evaluation


def row(label: str, found: Comparison) -> str:
    """Return a row of the Markdown table: counts, difference with its 95 % interval, and p."""
    counts = " | ".join(f"{s}/{n}" for s, n in zip(found.successes, found.episodes, strict=True))
    low, high = found.interval95
    interval = f"{100 * found.difference:+.1f} ({100 * low:+.1f} – {100 * high:+.1f}) %"
    return f"| {label} | {counts} | {interval} | {found.p:.2g} |"


def main() -> None:
    """Print the comparison of two eval.json, by task and overall."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    args = parser.parse_args()
    a, b = Evaluation.read(args.first), Evaluation.read(args.second)
    overall = compare(a, b)
    print(f"| | {a.experiment} | {b.experiment} | difference (95 % interval) | p, {overall.test} test |")
    print("|---|---|---|---|---|")
    for task in a.closed_loop.protocol.tasks if a.closed_loop else ():
        print(row(task, compare(a, b, [task])))
    print(row("**overall**", overall))
    if overall.note:
        print(f"\n{overall.note}")
    elif overall.flips is not None:
        print(f"\n{len(overall.flips['won'])} episodes won, {len(overall.flips['lost'])} lost, of the same seeds")


if __name__ == "__main__":
    run(main)
