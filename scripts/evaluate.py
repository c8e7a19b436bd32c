"""Evaluate an experiment's checkpoint, open-loop on held-out episodes and closed-loop in its simulator.

    python scripts/evaluate.py results/quickstart/config.json --workers 2

`eval.json` is the same for every number of workers; how long it took goes to `eval.timing.json`.
"""

import os
import shutil

from pisft.canonical import write_json
from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.evaluate.run import evaluate
from pisft.model.runtime import configure
from pisft.provenance.graph import building


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that simulate")
    args = parser.parse_args()
    root, node = node_of("eval", args.config)
    run_dir = root / f"results/{node.name}"
    with building(node, root) as build:
        config = read_resolved(args.config)
        kept = run_dir / "eval_state" / build.key[:16]
        content, timing = evaluate(config, run_dir, root / "data", configure(threads=1), args.workers, kept)
        write_json(run_dir / "eval.timing.json", timing)
        write_json(run_dir / "eval.json", content)
        videos = [e["video"] for e in (content["closed_loop"] or {"episodes": []})["episodes"] if e["video"]]
        build.outputs.extend(run_dir / path for path in ["eval.json", "traces.json", *videos])
    shutil.rmtree(kept.parent, ignore_errors=True)
    if content["closed_loop"]:
        overall = content["closed_loop"]["overall"]
        print(f"success {overall['successes']}/{overall['episodes']}, 95 % interval {overall['wilson95']}")


if __name__ == "__main__":
    run(main)
