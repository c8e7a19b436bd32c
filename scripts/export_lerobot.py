"""Export an experiment's checkpoint as a lerobot policy, to `results/<exp>/export/lerobot/`.

    python scripts/export_lerobot.py results/quickstart/config.json

How stock lerobot differs is printed, and is in the folder's README.md.
"""

from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.export.lerobot import export
from pisft.provenance.build import building


def main() -> None:
    """Export an experiment's checkpoint for lerobot and print how stock lerobot differs."""
    args = experiment_parser(__doc__).parse_args()
    root, node = node_of("export_lerobot", args.config)
    folder = root / node.folder
    with building(node, root) as build:
        loop = read_resolved(args.config).eval.closed_loop
        notes = export(root / f"results/{node.name}", loop.replan_steps if loop else None)
        build.outputs.extend(path for path in folder.rglob("*") if path.is_file())
    print(folder, *(f"- {note}" for note in notes), sep="\n")


if __name__ == "__main__":
    run(main)
