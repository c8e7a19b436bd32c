"""Evaluate the weights that a run saved every `train.keep_every` steps: success against steps, beside val_loss.

    python tools/evaluate_by_step.py results/quickstart/config.json

The episodes use the simulator's seeds `tuning`, since a step chosen on the test seeds looks better than it is. Writes
`success_by_step.json`, its figure `success_by_step.svg`, and facts about the run to `success_by_step.timing.json`. The
same command resumes after an interruption.
"""

import os
import shutil

from pisft.canonical import write_json, write_text
from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.evaluate.by_step import by_step
from pisft.model.compiling import keep_in
from pisft.model.runtime import configure
from pisft.provenance.build import Build
from pisft.provenance.key import expected
from pisft.records.by_step import SuccessByStep
from pisft.report.by_step import figure, rank_correlation
from pisft.stages import Node


def main() -> None:
    """Evaluate the weights of every saved step, write success_by_step.json and its figure, and print the rates."""
    parser = experiment_parser(__doc__)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="simulator processes")
    parser.add_argument("--seeds", default="tuning", help="the simulator's range of seeds (default: tuning)")
    args = parser.parse_args()
    root, node = node_of("train", args.config)
    run_dir = root / f"results/{node.name}"
    config = read_resolved(args.config)
    keep_in(root)
    fingerprint = Build(expected(node, root)).fingerprint
    # the key of the evaluation is one of all that a rollout depends on but for the weights of a step and the seeds
    state = run_dir / "eval_by_step_state" / expected(Node("evaluate", node.name), root).key[:16]
    found, went = by_step(config, run_dir, fingerprint, configure(threads=1), args.workers, args.seeds, state)
    ranks = rank_correlation(found)
    write_json(run_dir / "success_by_step.timing.json", went)
    SuccessByStep(seeds=args.seeds, steps=found, val_loss=ranks).write(run_dir / SuccessByStep.name_of_file)
    write_text(run_dir / "success_by_step.svg", figure(found))
    shutil.rmtree(state.parent, ignore_errors=True)
    if args.seeds == config.eval.closed_loop.seeds:
        print(f"the episodes are of '{args.seeds}', which eval.json is of too: choose no step by them")
    for step, outcome in found.items():
        rate = outcome.overall
        low, high = rate.wilson95
        print(f"step {step}: {rate.successes}/{rate.episodes} (95 % interval {low:.1%} to {high:.1%})")
        if lost := went[step]["lost_simulators"]:
            print(f"  simulator processes that were lost, and whose episodes were repeated: {', '.join(lost)}")
    print(f"Spearman's correlation of success and held-out loss over {ranks.steps} steps: {ranks.spearman}")


if __name__ == "__main__":
    run(main)
