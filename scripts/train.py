"""Train an experiment from wherever it stands to `checkpoint.json`; run it again after an interruption to go on.

python scripts/train.py results/quickstart/config.json
"""

from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.provenance.graph import building
from pisft.train.loop import train


def main() -> None:
    args = experiment_parser(__doc__).parse_args()
    root, node = node_of("checkpoint", args.config)
    with building(node, root) as build:
        run_dir = root / f"results/{node.name}"
        files = train(read_resolved(args.config), run_dir, root / "data", build.key, build.fingerprint)
        build.outputs.extend(files)


if __name__ == "__main__":
    run(main)
