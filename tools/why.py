"""Report whether an artefact, and everything that it is made from, is fresh, and if not, why.

    python tools/why.py results/quickstart/eval.json
    python tools/why.py results/quickstart/eval.json --files
    python tools/why.py --accept results/quickstart/report.html

What lies outside the project, such as published base weights, is named where it is not here.
`--accept` records that changed code makes the same results (a refactoring), so that nothing is rebuilt for it. First it
builds the experiment's `~smoke` version twice, by the code of the commit that made what is stale and by the committed
code of now, and compares every byte. It refuses where anything but code changed. Pages are not accepted but drawn
again, since they show what was. Exit code 0: all fresh, but for pages that only code makes stale; 1: something is not.
"""

import argparse
import sys
from pathlib import Path

from pisft.cli import run
from pisft.provenance.accept import accept, compare
from pisft.provenance.freshness import by_size, state
from pisft.provenance.graph import lineage
from pisft.provenance.key import unseen
from pisft.provenance.record import recorded
from pisft.records.provenance import Record
from pisft.stages import node_of


def main() -> int:
    """Print the state of the artefact and of all that it is made from; returns 1 if one is not fresh."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="an artefact, such as results/<exp>/eval.json")
    parser.add_argument("--files", action="store_true", help="list each artefact's files with their sha256")
    parser.add_argument("--accept", action="store_true", help="compare, and record that changed code is equivalent")
    parser.add_argument("--unchecked", action="store_true", help="with --accept: do not compare; reports will say so")
    args = parser.parse_args()
    nodes = lineage(node_of(Path(args.target).as_posix()))
    if args.unchecked and not args.accept:
        parser.error("--unchecked goes with --accept")
    if args.accept and any(recorded(node) and state(node) for node in nodes):
        evidence = None if args.unchecked else compare(nodes[-1])
        for node in nodes:
            if accept(node, evidence):
                print(f"{node.target}: accepted{' without a comparison' if args.unchecked else ''}")
    states = {node: state(node) for node in nodes}
    for node, reason in states.items():
        record = recorded(node)
        print(f"{node.target}: {reason or 'fresh'}{made(record) if record else ''}")
        for path in unseen(node):
            print(f"    {path}: is not here{', and assumed unchanged since this was made' if record else ''}")
        for path, facts in record.outputs.items() if record and args.files else ():
            print(f"    {facts.sha256}  {path}")
    large = {path: size for node, reason in states.items() if reason is None for path, size in by_size(node).items()}
    if large:
        size = sum(large.values()) / 2**20
        print(
            f"{len(large)} files ({size:.0f} MiB) were compared by size only; make verify hashes all", file=sys.stderr
        )
    return int(any(reason for node, reason in states.items() if not (args.accept and node.definition.is_page)))


def made(record: Record) -> str:
    """Summarise the record of an artefact."""
    files = record.outputs.values()
    size = sum(facts.size for facts in files) / 2**20
    return f" (key {record.key[:12]}, {len(files)} files, {size:.1f} MiB)"


if __name__ == "__main__":
    run(main)
