"""Evaluate all weights that a run kept (`train.keep_every`): success against steps, in `success_by_step.json`.

python scripts/evaluate_kept.py results/quickstart/config.json
"""

import os

from pisft.canonical import write_json
from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.evaluate.kept import by_step
from pisft.model.runtime import configure
from pisft.provenance.graph import Build, expected


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that simulate")
    args = parser.parse_args()
    root, node = node_of("checkpoint", args.config)
    run_dir = root / f"results/{node.name}"
    fingerprint = Build(expected(node, root)).fingerprint
    found = by_step(read_resolved(args.config), run_dir, fingerprint, configure(threads=1), args.workers)
    write_json(run_dir / "success_by_step.json", found)
    for step, outcome in found.items():
        overall = outcome["overall"]
        low, high = overall["wilson95"]
        print(f"step {step}: {overall['successes']}/{overall['episodes']} (95 % interval {low:.1%} to {high:.1%})")


if __name__ == "__main__":
    run(main)
