"""Bring a dataset to `data/<dataset>/`: record it, fetch it from the hub, link a local folder, or generate it.

    python scripts/make_dataset.py metaworld_quickstart --workers 2

`data/<dataset>/lerobot/` is then a LeRobot v3.0 dataset and `manifest.json` lists its files. The same command resumes
after an interruption.
"""

import argparse
import os
from pathlib import Path

from pisft.canonical import digest
from pisft.cli import run
from pisft.config import load_dataset
from pisft.config.dataset import GeneratedDataset, HubDataset, LocalDataset, SyntheticDataset
from pisft.config.files import load_simulator
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.sources.library import manifest_of
from pisft.data.sources.manifest import files_of
from pisft.data.sources.origin import take
from pisft.data.sources.synthetic import generate
from pisft.provenance.build import building
from pisft.simulators.demonstrate import record
from pisft.stages import Node


def main() -> None:
    """Record, fetch, link or generate the dataset, by its `source`, and write its manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="name of a file in config/datasets/, without .yaml")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="simulator processes")
    args = parser.parse_args()
    node = Node("make_dataset", args.dataset)
    manifest = Path(node.target)
    root = manifest.parent / "lerobot"
    origin = load_dataset(args.dataset).origin
    with building(node) as build:
        facts: dict = {}
        match origin:
            case GeneratedDataset():
                simulator = load_simulator(origin.simulator, ".", f"config/datasets/{args.dataset}.yaml", "simulator")
                facts = record(origin, simulator, root, args.workers, digest(build.ingredients.code))
            case HubDataset() | LocalDataset():
                facts = take(origin, root)
            case SyntheticDataset():
                facts = generate(origin, root)
        manifest_of(LeRobotData(root), args.dataset, origin.source, facts).write(manifest)
        build.outputs.append(manifest)
        if not (isinstance(origin, LocalDataset) and root.is_symlink()):
            build.outputs.extend(files_of(root).values())


if __name__ == "__main__":
    run(main)
