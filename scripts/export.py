"""Export an experiment's checkpoint to `results/<exp>/export/`: for lerobot, or for openpi and RLinf.

    python scripts/export.py results/quickstart/config.json --to lerobot
    python scripts/export.py results/pi05_libero/config.json --to openpi --repo-id physical-intelligence/libero

What lerobot cannot be told by its own files is printed, and stands in the README.md of the export.
"""

from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.config.dataset import HubDataset
from pisft.config.experiment import Resolved
from pisft.export import lerobot, openpi
from pisft.export.checkpoint import Checkpoint
from pisft.provenance.graph import building


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--to", choices=["lerobot", "openpi"], required=True)
    parser.add_argument("--repo-id", help="openpi: where the statistics lie; by default the first dataset's")
    args = parser.parse_args()
    root, node = node_of(f"export_{args.to}", args.config)
    folder = root / f"results/{node.name}/export/{args.to}"
    with building(node, root) as build:
        config = read_resolved(args.config)
        checkpoint = Checkpoint(root / f"results/{node.name}/checkpoint")
        if args.to == "lerobot":
            loop = config.eval.closed_loop
            for note in lerobot.export(checkpoint, folder, loop and loop.replan_steps):
                print(f"- {note}")
        else:
            openpi.export(checkpoint, folder, args.repo_id or dataset_id(config))
        build.outputs.extend(path for path in sorted(folder.rglob("*")) if path.is_file())


def dataset_id(config: Resolved) -> str:
    """The hub id of the first dataset, or its name."""
    use = config.datasets[0]
    return use.origin.repo if isinstance(use.origin, HubDataset) else use.name


if __name__ == "__main__":
    run(main)
