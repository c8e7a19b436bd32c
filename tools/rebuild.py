"""Rebuild an experiment from nothing, in a fresh clone, and compare the outputs with those here.

    python tools/rebuild.py quickstart                     (make verify EXP=quickstart)
    python tools/rebuild.py quickstart --tolerance 0.1

On a machine like the one that made it, every file must be identical to the bit. On another (processor, cores, threads
or GPU), where bits may differ, statistics, weights and the held-out loss must be within --tolerance, and success must
not differ by the paired test at 5 %. The same holds on a GPU without train.deterministic, under another uv.lock, and if
the original machine is not recorded, as after `dvc pull`. Datasets that were not generated, and converted base weights,
are taken from here. Exit code 1 if the comparison fails.
"""

import argparse

from pisft.cli import run
from pisft.diff.rebuild import rebuild


def main() -> int:
    """Build the experiment again in a clone and compare; returns 0 if it is the same, else the verdict's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="one that is built in results/")
    parser.add_argument("--tolerance", type=float, default=0.05, help="relative distance (default: 0.05)")
    args = parser.parse_args()
    return rebuild(args.experiment, args.tolerance)


if __name__ == "__main__":
    run(main)
