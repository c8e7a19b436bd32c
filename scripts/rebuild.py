"""Build an experiment again from nothing, in a fresh clone, and compare what comes out with what is here.

    python scripts/rebuild.py quickstart                     (make verify EXP=quickstart)
    python scripts/rebuild.py quickstart --tolerance 0.1

On a machine like the one that made it, every file has to be the same, bit for bit. On another (processor, cores,
threads or GPU), where bits may differ, statistics, weights and losses have to be within --tolerance, and success must
not be told apart by the paired test at 5 %. Datasets that were not generated are taken from here. Exit code 1 where it
fails.
"""

import argparse
import json
import tempfile
from pathlib import Path

from pisft.cli import run
from pisft.config import load_dataset
from pisft.config.dataset import GeneratedDataset, SyntheticDataset
from pisft.diff.measure import differ, measure
from pisft.diff.side import Side
from pisft.diff.terminal import summary
from pisft.provenance.graph import Node, ProvenanceError, lineage, recorded
from pisft.provenance.rebuild import fresh_clone, run_in

BUILT = (GeneratedDataset, SyntheticDataset)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="one that is built in results/")
    parser.add_argument("--tolerance", type=float, default=0.05, help="relative distance (default: 0.05)")
    args = parser.parse_args()
    here = Path.cwd()
    goal = Node("eval", args.experiment)
    nodes = lineage(goal)
    missing = [node.target for node in nodes if recorded(node) is None]
    if missing:
        raise ProvenanceError(f"{missing[0]}: is missing or has no record; run: snakemake {goal.target}")
    taken = [
        node
        for node in nodes
        if node.stage == "base" or (node.stage == "dataset" and not isinstance(load_dataset(node.name).origin, BUILT))
    ]
    with tempfile.TemporaryDirectory() as temporary:
        clone = fresh_clone(Path(temporary) / "clone")
        for node in taken:
            folder = clone / Path(node.target).parent
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(here / Path(node.target).parent)
        run_in(clone, "snakemake", goal.target)
        differing, machines = [], []
        for node in (node for node in nodes if node not in taken):
            ours, theirs = recorded(node)["outputs"], recorded(node, clone)["outputs"]
            differing += [path for path in ours | theirs if ours.get(path) != theirs.get(path)]
            machines += [key for key in described(here / node.machine, clone / node.machine) if key not in machines]
        if not differing:
            print("every file is the same, bit for bit")
            return 0
        print(*(f"{path}: differs" for path in differing), sep="\n")
        if not machines:
            print("and it was made on a machine like this one: it should not")
            return 1
        folders = (root / f"results/{args.experiment}" for root in (here, clone))
        content = measure(*(Side.read(folder, label) for folder, label in zip(folders, ("here", "again"), strict=True)))
    print(f"it was made on a machine with another {', '.join(machines)}, where bits may differ", "", sep="\n")
    print(summary(content, color=False))
    apart = differ(content, args.tolerance)
    print(f"\n{'further apart than' if apart else 'the same within'} a tolerance of {args.tolerance:g}")
    return int(apart)


def described(*paths: Path) -> list[str]:
    """What differs between two machines, of which one may not be known."""
    one, other = (json.loads(path.read_text()) if path.is_file() else {} for path in paths)
    return [key for key in sorted(one | other) if key != "commit" and one.get(key) != other.get(key)]


if __name__ == "__main__":
    run(main)
