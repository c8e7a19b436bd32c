"""Compute `norm_stats.json` (openpi's schema), and report on its health (`norm_stats.report.json` and `.png`).

    python scripts/norm_stats.py results/quickstart/config.json
    python scripts/norm_stats.py --config-name pi0_realworld --repo-id ~/datasets/bin_relocation

The first form is for an experiment: over its training episodes, into its folder. The second is for a dataset alone:
over all episodes, to `<output>/<exp-name>/<repo-id>/`, where openpi and RLinf look.
"""

import argparse
import contextlib
import math
import os
from pathlib import Path

from pisft.canonical import write_text
from pisft.cli import node_of, run
from pisft.config import read_resolved
from pisft.config.base import find_named
from pisft.data.lerobot.frames import check_frames
from pisft.data.loading.split import parts
from pisft.data.sources.legacy import vectors_of
from pisft.data.sources.library import open_dataset
from pisft.data.statistics.assets import asset_folders, find_dataset
from pisft.data.statistics.base_stats import base_stats
from pisft.data.statistics.norm_stats import load
from pisft.data.transforms.fit import check, check_delta_mask, check_fps, check_lengths, check_tables
from pisft.data.transforms.format import Format
from pisft.inspection.norm_stats import write_norm_stats
from pisft.provenance.build import building


def main() -> None:
    """Compute the statistics of an experiment, or of a dataset in a format, by which arguments are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", help="results/<exp>/config.json")
    parser.add_argument("--config-name", help="a file of config/formats/, without .yaml")
    parser.add_argument("--repo-id", help="a dataset's folder, or its name in HF_LEROBOT_HOME")
    parser.add_argument("--output", type=Path, default=Path("assets"), help="upstream's assets_dir (%(default)s)")
    parser.add_argument("--exp-name", help="as in upstream's path (default: the config name)")
    parser.add_argument("--min-std", type=_limit, default=0.0, help="raise a smaller std to it, and say so")
    parser.add_argument("--min-range", type=_limit, default=0.0, help="widen a smaller q99 − q01 to it, and say so")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (%(default)s)")
    args = parser.parse_args()
    if args.config and not (args.config_name or args.repo_id):
        if args.min_std or args.min_range:
            parser.error("an experiment's limits stand in its file: norm_stats: {min_std: …, min_range: …}")
        of_experiment(args.config, args.workers)
    elif args.config_name and args.repo_id and not args.config:
        of_dataset(args)
    else:
        parser.error("give an experiment's config.json, or --config-name and --repo-id")


def _limit(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"found {text!r}; expected a number, 0 or more")


def of_experiment(path: Path, workers: int) -> None:
    """Compute the statistics of the training episodes of the experiment at `path`, its config.json, and report on them.

    With `norm_stats.source: base` the base's statistics are taken and compared with the data's.
    """
    root, node = node_of("norm_stats", path)
    with building(node, root) as build:
        config = read_resolved(path)
        fmt = Format(config.format)
        datasets = []
        for use in config.datasets:
            data = open_dataset(root / f"data/{use.name}")
            chosen = use.selected(data.num_episodes)
            check(data, fmt, chosen, config.model.action_dim)
            train, _ = parts(use, data, config.split)
            datasets.append((data, train))
        base = None
        if config.norm_stats.source == "base":
            found = base_stats(config, root)
            print(f"statistics of the base weights: {found}")
            base = load(found)
        limits = (config.norm_stats.min_std, config.norm_stats.min_range)
        build.outputs.extend(write_norm_stats((root / node.target).parent, datasets, fmt, workers, *limits, base))


def of_dataset(args: argparse.Namespace) -> None:
    """Compute the statistics of a whole dataset and write them where openpi and RLinf look for them."""
    fmt = Format.from_yaml(find_named(Path("config/formats"), args.config_name, "command line", "--config-name"))
    with vectors_of(find_dataset(args.repo_id)) as data:
        check_fps(data, fmt)
        check_tables(data, fmt)
        check_delta_mask(data, fmt)
        check_lengths(data, fmt)
        check_frames(data)
        folder, *others = asset_folders(args.output, args.exp_name or args.config_name, args.repo_id, fmt)
        stats = write_norm_stats(folder, [(data, None)], fmt, args.workers, args.min_std, args.min_range)[0]
    for other in others:
        write_text(other / stats.name, stats.read_text())
        print(other / stats.name)


if __name__ == "__main__":
    run(main)
