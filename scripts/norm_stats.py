"""Compute `norm_stats.json` (openpi's schema) of an experiment's training episodes, and a report on their health.

python scripts/norm_stats.py results/quickstart/config.json
"""

from pisft.canonical import write_json
from pisft.cli import experiment_parser, node_of, run
from pisft.config import read_resolved
from pisft.data.check import check_together
from pisft.data.format import Format
from pisft.data.library import open_dataset
from pisft.data.norm_stats import health, load, measure, save, widen
from pisft.data.split import split
from pisft.provenance.graph import building
from pisft.train.base import base_stats


def main() -> None:
    args = experiment_parser(__doc__).parse_args()
    root, node = node_of("norm_stats", args.config)
    with building(node, root) as build:
        config = read_resolved(args.config)
        format = Format(config.format)
        datasets = []
        for use in config.datasets:
            data = open_dataset(root / f"data/{use.name}")
            chosen = use.selected(data.num_episodes)
            data.check(format, chosen, config.model.action_dim)
            train, _ = split(chosen, config.split.heldout_fraction, config.split.seed)
            datasets.append((data, train))
        check_together([data for data, _ in datasets], format)
        measured = measure(datasets, format, config.format.action_horizon)
        limits = (config.norm_stats.min_std, config.norm_stats.min_range)
        target = root / node.target
        report = target.with_name("norm_stats.report.json")
        if config.norm_stats.source == "base":
            save(load(base_stats(config, root)), target)
        else:
            save(widen(measured, *limits), target)
        write_json(report, health(measured, config.format.normalisation, *limits))
        build.outputs.extend([target, report])


if __name__ == "__main__":
    run(main)
