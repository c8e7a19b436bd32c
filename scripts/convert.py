"""Convert the base weights of a model, one of openpi's JAX checkpoints, to `data/base/<model>/model.safetensors`.

python scripts/convert.py pi05_base

`config/models/<model>.yaml` names the checkpoint's folder as `base: {orbax: <folder>}`.
"""

import argparse
from pathlib import Path

from pisft.cli import run
from pisft.model.convert import convert
from pisft.provenance.build import building
from pisft.stages import Node
from pisft.stages.base import subject


def main() -> None:
    """Convert the base weights of the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name of a file in config/models/, without .yaml")
    name = parser.parse_args().model
    node = Node("convert", name)
    config = subject(node)
    with building(node) as build:
        convert(config, Path(config.base.orbax).expanduser(), Path(node.target))
        build.outputs.append(Path(node.target))


if __name__ == "__main__":
    run(main)
