"""Write `results/<exp>/config.json`: the experiment with every name looked up and every default spelled out.

python scripts/resolve.py quickstart
"""

import argparse
from pathlib import Path

from pisft.canonical import write_json
from pisft.cli import run
from pisft.config import resolve
from pisft.provenance.build import building
from pisft.stages import Node


def main() -> None:
    """Write the config.json of the experiment that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="name of a file in config/experiments/, without .yaml")
    name = parser.parse_args().experiment
    node = Node("resolve", name)
    with building(node) as build:
        write_json(Path(node.target), resolve(name).model_dump(mode="json", by_alias=True))
        build.outputs.append(Path(node.target))


if __name__ == "__main__":
    run(main)
