"""Evaluate all weights that a run kept (`train.keep_every`): success against steps, beside the validation loss.

    python scripts/evaluate_kept.py results/quickstart/config.json

Writes `success_by_step.json` and, as a picture, `success_by_step.svg`.
"""

import os

from pisft.canonical import write_json, write_text
from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.evaluate.kept import by_step
from pisft.model.runtime import configure
from pisft.provenance.graph import Build, expected
from pisft.report.by_step import by_step as by_step_picture
from pisft.report.by_step import rank_correlation


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that simulate")
    args = parser.parse_args()
    root, node = node_of("checkpoint", args.config)
    run_dir = root / f"results/{node.name}"
    fingerprint = Build(expected(node, root)).fingerprint
    found = by_step(read_resolved(args.config), run_dir, fingerprint, configure(threads=1), args.workers)
    ranks = rank_correlation(found)
    write_json(run_dir / "success_by_step.json", {"steps": found, "val_loss": ranks})
    write_text(run_dir / "success_by_step.svg", by_step_picture(found))
    for step, outcome in found.items():
        overall = outcome["overall"]
        low, high = overall["wilson95"]
        print(f"step {step}: {overall['successes']}/{overall['episodes']} (95 % interval {low:.1%} to {high:.1%})")
    print(f"Spearman's correlation of success and held-out loss over {ranks['steps']} steps: {ranks['spearman']}")


if __name__ == "__main__":
    run(main)
