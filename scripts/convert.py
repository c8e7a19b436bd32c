"""Convert the base weights of a model, one of openpi's JAX checkpoints, to `data/base/<model>/model.safetensors`.

python scripts/convert.py pi05_base

`config/models/<model>.yaml` names the checkpoint's folder as `base: {orbax: <folder>}`.
"""

import argparse
from pathlib import Path

from pisft.cli import run
from pisft.config import ConfigError
from pisft.config.experiment import load_model
from pisft.model.convert import convert
from pisft.provenance.graph import Node, building


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name of a file in config/models/, without .yaml")
    name = parser.parse_args().model
    config = load_model(name)
    if config.base == "scratch" or config.base.orbax is None:
        raise ConfigError(f"config/models/{name}.yaml: base: found {config.base}; expected {{orbax: <folder>}}")
    node = Node("base", name)
    with building(node) as build:
        convert(config, Path(config.base.orbax).expanduser(), Path(node.target))
        build.outputs.append(Path(node.target))


if __name__ == "__main__":
    run(main)
