"""Compare two experiments: what differs in their inputs, and in their results.

    python scripts/diff.py quickstart quickstart_lora
    python scripts/diff.py main~3:quickstart main:quickstart          # as DVC has them of two revisions
    python scripts/diff.py results/quickstart /elsewhere/results/quickstart --html diff.html --json diff.json

Compares configuration, datasets, statistics, weights by layer, losses, open-loop errors, success with a paired test,
packages and code. Exit code 0 if nothing differs, 1 if anything does, 2 if one cannot be read. With --tolerance
everything is reported, but only statistics, weights, the held-out loss and success decide; what only one of the two
has, and success that cannot be compared, counts as different.
"""

import argparse
import os
import sys
from pathlib import Path

from pisft.canonical import write_text
from pisft.diff.films import MOST, film_flips
from pisft.diff.measure import differ, measure
from pisft.diff.page import render
from pisft.diff.revision import of_revision
from pisft.diff.side import Side
from pisft.diff.terminal import summary
from pisft.errors import PisftError
from pisft.names import one_line
from pisft.provenance.build import building
from pisft.records.difference import Difference
from pisft.stages import Node


def main() -> int:
    """Compare two experiments and print what differs; returns 0 if nothing does, 1 if something does, 2 on error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", help="an experiment's name, a folder like results/<exp>, or <revision>:<exp>")
    parser.add_argument("b", help="the other one")
    parser.add_argument("--tolerance", type=float, help="relative distance of statistics, weights and loss")
    parser.add_argument("--json", type=Path, help="write the whole comparison there as JSON")
    parser.add_argument("--html", type=Path, help="write the page there as HTML")
    parser.add_argument("--write", action="store_true", help="write both to results/diff/<a>..<b>/, of two experiments")
    parser.add_argument(
        "--films", type=int, default=MOST, help="flipped episodes of each kind to film for the page (default: 12)"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="simulator processes")
    parser.add_argument("--exit-zero", action="store_true", help="exit with 0 also where something differs")
    args = parser.parse_args()
    try:
        content = recorded(args) if args.write else compared(args, args.json, args.html)[0]
    except PisftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(summary(content, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return int(differ(content, args.tolerance) and not args.exit_zero)


def recorded(args: argparse.Namespace) -> Difference:
    """Compare two experiments, written as an artefact with its record, as `snakemake` makes it."""
    node = Node("diff", f"{args.a}..{args.b}")
    for name in (args.a, args.b):
        if not Path("results", name, "config.json").is_file() or "/" in name:
            raise PisftError(
                f"{one_line(name)}: is not an experiment in results/; --write expects the name of a built one"
            )
    with building(node) as build:
        target = Path(node.target)
        content, files = compared(args, target, target.with_name("diff.html"))
        build.outputs.extend(files)
    return content


def compared(args: argparse.Namespace, json: Path | None, html: Path | None) -> tuple[Difference, list[Path]]:
    """Compare the two; returns (what differs, the files that were written)."""
    a, b = side(args.a), side(args.b)
    content = measure(a, b)
    files = []
    if html:
        folder = html.with_name(f"{html.stem}.films")  # one for each page
        films, unfilmed = film_flips(content, (a, b), folder, args.films, args.workers)
        write_text(html, render(content, html.absolute(), films, unfilmed))
        files += [html, *(path for path in films.values() if folder in path.parents)]
    if json:
        content.write(json)
        files.append(json)
    return content, files


def side(name: str) -> Side:
    """Return the side that `name` names: a folder, an experiment, or <revision>:<exp>; raises `PisftError`."""
    folder, commit = Path(name), None
    if not folder.is_dir():
        folder = Path("results") / name
    if not folder.is_dir() and ":" in name:
        folder, commit = of_revision(name)
    if not folder.is_dir():
        raise PisftError(f"{name}: is neither a folder nor a built experiment; expected results/<exp> or its name")
    return Side.read(folder.absolute(), name.rstrip("/").removeprefix("results/"), commit)


if __name__ == "__main__":
    sys.exit(main())
