"""Write `report.html` of an experiment from the outputs of its other stages.

python scripts/report.py results/quickstart/config.json
"""

from pisft.canonical import write_text
from pisft.cli import experiment_parser, node_of, run
from pisft.provenance.build import building
from pisft.report.page import render


def main() -> None:
    """Write the page of an experiment and print its path."""
    args = experiment_parser(__doc__).parse_args()
    root, node = node_of("report", args.config)
    with building(node, root) as build:
        target = root / node.target
        write_text(target, render(target.parent))
        build.outputs.append(target)
    print(target)


if __name__ == "__main__":
    run(main)
