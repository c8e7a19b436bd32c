"""Export an experiment's checkpoint for openpi and RLinf, to `results/<exp>/export/openpi/`.

    python scripts/export_openpi.py results/quickstart/config.json
    python scripts/export_openpi.py results/quickstart/config.json --repo-id physical-intelligence/libero

How stock openpi differs is printed, and is in the folder's README.md.
"""

from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.export.openpi import export, repo_id_of
from pisft.provenance.build import building


def main() -> None:
    """Export an experiment's checkpoint for openpi and print how stock openpi differs."""
    parser = experiment_parser(__doc__)
    parser.add_argument(
        "--repo-id", action="append", default=[], help="put the statistics under this id too; may be repeated"
    )
    args = parser.parse_args()
    root, node = node_of("export_openpi", args.config)
    folder = root / node.folder
    with building(node, root) as build:
        ids = dict.fromkeys([repo_id_of(read_resolved(args.config)), *args.repo_id])
        notes = export(root / f"results/{node.name}", list(ids))
        build.outputs.extend(path for path in folder.rglob("*") if path.is_file())
    print(folder, *(f"- {note}" for note in notes), sep="\n")


if __name__ == "__main__":
    run(main)
