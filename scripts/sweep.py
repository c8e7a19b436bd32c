"""Make the table of a sweep: each of its experiments, and the results over seeds for each combination of values.

    python scripts/sweep.py quickstart_seeds      # results/sweeps/quickstart_seeds/{table,runs}.csv

It needs all of the sweep's evaluations: `snakemake results/sweeps/<sweep>/table.csv` makes them first.
"""

import argparse
from pathlib import Path

from pisft.canonical import write_text
from pisft.cli import run
from pisft.provenance.build import building
from pisft.report.set_page import csv_text, sweep_text
from pisft.report.sets import sweep_rows
from pisft.stages import Node


def main() -> None:
    """Write the tables of the sweep that the command line names, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", help="name of a file in config/experiments/ that has a `sweep`, without .yaml")
    node = Node("sweep", parser.parse_args().sweep)
    with building(node) as build:
        table, runs = sweep_rows(node.name)
        target = Path(node.target)
        write_text(target.with_name("runs.csv"), csv_text(runs))
        write_text(target, csv_text(table))
        build.outputs.extend([target, target.with_name("runs.csv")])
    print(sweep_text(table, runs))


if __name__ == "__main__":
    run(main)
