"""Compare two experiments: what differs in their inputs, and in their results.

    python scripts/diff.py quickstart quickstart_lora
    python scripts/diff.py main~3:quickstart main:quickstart          # as DVC has them of two revisions
    python scripts/diff.py results/quickstart /elsewhere/results/quickstart --html diff.html --json diff.json

Compares configuration, datasets, statistics, weights by layer, losses, open-loop errors, success with a paired test,
packages and code. Exit code 0 if nothing differs, 1 if anything does, 2 if one cannot be read. With --tolerance
everything is reported, but only statistics, weights, the held-out loss and success decide; what only one of the two
has, and success that cannot be compared, counts as different.
"""

import argparse
import os
import sys
from pathlib import Path

from pisft.diff.compare import compare, write_diff
from pisft.diff.films import MOST
from pisft.diff.measure import differ
from pisft.diff.terminal import summary
from pisft.errors import PisftError


def main() -> int:
    """Compare two experiments and print what differs; returns 0 if nothing does, 1 if something does, 2 on error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", help="an experiment's name, a folder like results/<exp>, or <revision>:<exp>")
    parser.add_argument("b", help="the other one")
    parser.add_argument("--tolerance", type=float, help="relative distance of statistics, weights and loss")
    parser.add_argument("--json", type=Path, help="write the whole comparison there as JSON")
    parser.add_argument("--html", type=Path, help="write the page there as HTML")
    parser.add_argument("--write", action="store_true", help="write both to results/diff/<a>..<b>/, of two experiments")
    parser.add_argument(
        "--films", type=int, default=MOST, help="flipped episodes of each kind to film for the page (default: 12)"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="simulator processes")
    parser.add_argument("--exit-zero", action="store_true", help="exit with 0 also where something differs")
    args = parser.parse_args()
    try:
        if args.write:
            content = write_diff(args.a, args.b, args.films, args.workers)
        else:
            content, _ = compare(args.a, args.b, args.json, args.html, args.films, args.workers)
    except PisftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(summary(content, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return int(differ(content, args.tolerance) and not args.exit_zero)


if __name__ == "__main__":
    sys.exit(main())
