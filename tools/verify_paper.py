"""Check that a paper is reproduced, bit for bit, in two fresh clones of the project.

    python tools/verify_paper.py                           (make verify-paper)
    python tools/verify_paper.py libero_openpi --keep clones

`dvc repro` runs in both, with only what git holds, and datasets that were not generated and converted base weights,
which are taken from here; then the hashes in their locks are compared with each other, and with the committed ones,
which another machine may have made. Exit code 1 if the two differ.
"""

import argparse
import tempfile
from pathlib import Path

from pisft.cli import run
from pisft.provenance.graph import lineage
from pisft.provenance.pipeline import DEFAULT
from pisft.provenance.rebuild import fresh_clone, given, locked, locks, run_in, take
from pisft.stages import Node


def main() -> int:
    """Reproduce the paper in two clones and print which outputs differ; returns 1 if one does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paper", nargs="?", default=DEFAULT, help="name of a file in config/papers/, without .yaml")
    parser.add_argument("--keep", type=Path, help="clone into this folder, and keep the clones")
    args = parser.parse_args()
    path = "dvc.yaml" if args.paper == DEFAULT else f"papers/{args.paper}/dvc.yaml"
    taken = given(lineage(Node("paper", args.paper)))
    with tempfile.TemporaryDirectory(delete=args.keep is None) as temporary:
        folder = args.keep.absolute() if args.keep else Path(temporary)
        clones = [fresh_clone(folder / name) for name in ("one", "other")]
        for clone in clones:
            for node in taken:
                take(node, clone)
            for lock in locks(clone):  # so that a lock lists only what ran
                lock.unlink()
            run_in(clone, "dvc", "repro", path)
        one, other = map(locked, clones)
    committed = locked(Path())
    differing = [out for out in one if one[out] != other[out]]
    for out, md5 in one.items():
        told = "differs" if out in differing else "same"
        before = "" if out not in committed else ", as committed" if committed[out] == md5 else ", not as committed"
        print(f"{md5[:32]}  {out}: {told}{before}")
    print(f"{len(differing)} of {len(one)} differ" if differing else f"{len(one)} are the same in both clones")
    return int(bool(differing))


if __name__ == "__main__":
    run(main)
