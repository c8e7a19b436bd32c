"""Two experiments compared, on the terminal, as JSON and as a page. Start from `compare`."""

from __future__ import annotations

from pathlib import Path

from pisft.canonical import write_text
from pisft.diff.films import film_flips
from pisft.diff.measure import measure
from pisft.diff.page import render
from pisft.diff.revision import of_revision
from pisft.diff.side import Side
from pisft.errors import PisftError
from pisft.names import one_line
from pisft.provenance.build import building
from pisft.records.difference import Difference
from pisft.stages import Node


def compare(
    a: str, b: str, json: Path | None, html: Path | None, films: int, workers: int
) -> tuple[Difference, list[Path]]:
    """Compare two experiments, write what is asked for, and return (what differs, the files that were written).

    The page shows up to `films` flipped episodes of each kind, simulated by `workers` processes. Raises `PisftError`.
    """
    sides = side(a), side(b)
    content = measure(*sides)
    files = []
    if html:
        folder = html.with_name(f"{html.stem}.films")  # one for each page
        filmed, unfilmed = film_flips(content, sides, folder, films, workers)
        write_text(html, render(content, html.absolute(), filmed, unfilmed))
        files += [html, *(path for path in filmed.values() if folder in path.parents)]
    if json:
        content.write(json)
        files.append(json)
    return content, files


def write_diff(a: str, b: str, films: int, workers: int) -> Difference:
    """Compare two experiments, written as an artefact with its record, as `snakemake` makes it."""
    node = Node("diff", f"{a}..{b}")
    for name in (a, b):
        if not Path("results", name, "config.json").is_file() or "/" in name:
            raise PisftError(
                f"{one_line(name)}: is not an experiment in results/; --write expects the name of a built one"
            )
    with building(node) as build:
        target = Path(node.target)
        content, files = compare(a, b, target, target.with_name("diff.html"), films, workers)
        build.outputs.extend(files)
    return content


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
