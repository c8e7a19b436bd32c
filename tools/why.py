"""Report whether an artefact, and everything that it is made from, is fresh, and if not, why.

    python tools/why.py results/quickstart/eval.json
    python tools/why.py results/quickstart/eval.json --files
    python tools/why.py --accept results/quickstart/report.html

Goes back to the datasets' files. Inputs outside the project, such as published base weights, are named if they are not
here. `--accept` records that changed code gives the same results (a refactoring), so that nothing is rebuilt for it. It
refuses if anything but code changed. Exit code 0: all fresh (or accepted); 1: something is not.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from pisft.cli import run
from pisft.provenance.accept import accept
from pisft.provenance.freshness import by_size, state
from pisft.provenance.graph import lineage
from pisft.provenance.key import unseen
from pisft.provenance.record import recorded
from pisft.stages import node_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="an artefact, such as results/<exp>/eval.json")
    parser.add_argument("--files", action="store_true", help="list each artefact's files with their sha256")
    parser.add_argument("--accept", action="store_true", help="record that changed code is equivalent")
    args = parser.parse_args()
    nodes = lineage(node_of(Path(args.target).as_posix()))
    if args.accept:
        for node in nodes:
            if accept(node):
                print(f"{node.target}: accepted")
    states = {node: state(node) for node in nodes}
    for node, reason in states.items():
        record = recorded(node)
        print(f"{node.target}: {reason or 'fresh'}{made(record) if record else ''}")
        for path in unseen(node):
            print(f"    {path}: is not here{', and taken for what it was when this was made' if record else ''}")
        for path, facts in record["outputs"].items() if record and args.files else ():
            print(f"    {facts['sha256']}  {path}")
    large = {path: size for node, reason in states.items() if reason is None for path, size in by_size(node).items()}
    if large:
        size = sum(large.values()) / 2**20
        print(f"{len(large)} files ({size:.0f} MiB) were compared by size only; make verify reads all", file=sys.stderr)
    return int(any(states.values()))


def made(record: dict[str, Any]) -> str:
    """Summarise the record of an artefact."""
    files = record["outputs"].values()
    size = sum(facts["size"] for facts in files) / 2**20
    return f" (key {record['key'][:12]}, {len(files)} files, {size:.1f} MiB)"


if __name__ == "__main__":
    run(main)
