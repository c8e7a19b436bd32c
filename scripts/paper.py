"""Make the table of a paper: the results of its experiments beside the published ones.

    python scripts/paper.py quickstart            # prints it, with "not yet run" where that is so
    python scripts/paper.py quickstart --write    # results/papers/quickstart/table.csv and report.html

Writing needs all of the paper's evaluations: `snakemake results/papers/<paper>/table.csv` makes them first.
"""

import argparse
from pathlib import Path

from pisft.canonical import write_text
from pisft.cli import run
from pisft.config import load_paper
from pisft.provenance.build import building
from pisft.provenance.freshness import state
from pisft.report.set_page import csv_text, paper_page, paper_text
from pisft.report.sets import paper_rows
from pisft.stages import Node


def main() -> None:
    """Print the table of a paper, or with --write write it and its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paper", help="name of a file in config/papers/, without .yaml")
    parser.add_argument("--write", action="store_true", help="write the table and the page")
    args = parser.parse_args()
    if args.write:
        node = Node("paper", args.paper)
        with building(node) as build:
            rows = paper_rows(args.paper)
            target = Path(node.target)
            page = target.with_name("report.html")
            write_text(page, paper_page(args.paper, load_paper(args.paper), rows))
            write_text(target, csv_text(rows))
            build.outputs.extend([target, page])
        print(target, page, sep="\n")
    else:
        print(paper_text(paper_rows(args.paper)))
        for node in (Node("evaluate", exp) for exp in load_paper(args.paper).experiments):
            if Path(node.target).is_file() and (reason := state(node)):
                print(f"{node.target}: is stale: {reason}; run: snakemake {node.target}")


if __name__ == "__main__":
    run(main)
