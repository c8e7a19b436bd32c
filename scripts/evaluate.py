"""Evaluate an experiment's checkpoint, open-loop on held-out episodes and closed-loop in its simulator.

    python scripts/evaluate.py results/quickstart/config.json --workers 2

`eval.json` is the same for any number of workers; timings go to `eval.timing.json`. With --server the rollouts' actions
come from tools/serve.py, inferred in the same groups; its token is read from PISFT_POLICY_TOKEN.
"""

import os
import shutil
from contextlib import nullcontext

from pisft.canonical import write_json
from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.evaluate.run import evaluate
from pisft.model.runtime import configure
from pisft.provenance.build import building
from pisft.serving.identity import served


def main() -> None:
    """Evaluate an experiment's checkpoint, write eval.json and eval.timing.json and print the success rate."""
    parser = experiment_parser(__doc__)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="simulator processes")
    parser.add_argument("--server", metavar="URI", help="act through this server, which must serve the same checkpoint")
    args = parser.parse_args()
    root, node = node_of("evaluate", args.config)
    run_dir = root / f"results/{node.name}"
    with building(node, root) as build:
        config = read_resolved(args.config)
        state = run_dir / "eval_state" / build.key[:16]
        device = configure(threads=1)
        with served(args.server, run_dir) if args.server else nullcontext() as actor:
            content, timing = evaluate(config, run_dir, root / "data", device, args.workers, state, actor)
        write_json(run_dir / "eval.timing.json", timing)
        content.write(root / node.target)
        files = [content.name_of_file, "traces.json"]
        if loop := content.closed_loop:
            files += ["rollouts.safetensors", *(episode.video for episode in loop.episodes if episode.video)]
        build.outputs.extend(run_dir / path for path in files)
    shutil.rmtree(state.parent, ignore_errors=True)
    if lost := timing.get("lost_simulators"):
        print(f"simulator processes that were lost, and whose episodes were repeated: {len(lost)} ({', '.join(lost)})")
    for why in timing.get("not_filmed", []):
        print(f"not filmed: {why}")
    if loop:
        low, high = loop.overall.wilson95
        print(f"success {loop.overall.successes}/{loop.overall.episodes}, 95 % interval {low:.1%} to {high:.1%}")


if __name__ == "__main__":
    run(main)
