"""Train an experiment from wherever it stands to `checkpoint.json`; run it again after an interruption to go on.

    python scripts/train.py results/quickstart/config.json

It starts the processes that `cluster` asks for; under torchrun, those that it has started join.
"""

import os
from pathlib import Path

from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.provenance.graph import Build, building, planned
from pisft.train.loop import train


def main() -> None:
    args = experiment_parser(__doc__).parse_args()
    root, node = node_of("checkpoint", args.config)

    def trained(build: Build) -> list[Path]:
        run_dir = root / f"results/{node.name}"
        return train(read_resolved(args.config), run_dir, root / "data", build.key, build.fingerprint)

    if int(os.environ.get("RANK", 0)):
        trained(planned(node, root))  # the first process keeps the record
        return
    with building(node, root) as build:
        build.outputs.extend(trained(build))


if __name__ == "__main__":
    run(main)
