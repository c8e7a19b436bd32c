"""Write an experiment's checkpoint as lerobot, or as openpi and RLinf, load it: `results/<exp>/export/`.

    python scripts/export.py results/quickstart/config.json --to lerobot
    python scripts/export.py results/quickstart/config.json --to openpi --repo-id physical-intelligence/libero

What the other side does otherwise is printed, and stands in the folder's README.md.
"""

from pathlib import Path

from pisft.cli import experiment_parser, node_of, run
from pisft.config import Resolved, read_resolved
from pisft.errors import PisftError
from pisft.export import lerobot, openpi
from pisft.provenance.graph import building


def main() -> None:
    parser = experiment_parser(__doc__)
    parser.add_argument("--to", choices=["lerobot", "openpi"], required=True, help="who is to load it")
    parser.add_argument(
        "--repo-id", action="append", default=[], help="openpi: put the statistics under this id too; may be repeated"
    )
    args = parser.parse_args()
    if args.repo_id and args.to != "openpi":
        raise PisftError("--repo-id: goes with --to openpi only; lerobot's statistics are part of its processors")
    root, node = node_of(f"export_{args.to}", args.config)
    run_dir = root / f"results/{node.name}"
    with building(node, root) as build:
        notes = export(args.to, run_dir, read_resolved(args.config), args.repo_id)
        folder = run_dir / "export" / args.to
        build.outputs.extend(path for path in folder.rglob("*") if path.is_file())
    print(folder)
    for note in notes:
        print(f"- {note}")


def export(to: str, run_dir: Path, config: Resolved, repo_ids: list[str]) -> list[str]:
    """Write the export for `to`; what `to` does otherwise."""
    if to == "openpi":
        return openpi.export(run_dir, list(dict.fromkeys([openpi.repo_id_of(config), *repo_ids])))
    loop = config.eval.closed_loop
    return lerobot.export(run_dir, loop.replan_steps if loop else None)


if __name__ == "__main__":
    run(main)
