"""Train an experiment from its latest training state to `checkpoint.json`; run it again to resume.

    python scripts/train.py results/quickstart/config.json
    python scripts/train.py results/pi05_libero/config.json --launcher slurm

Under torchrun or srun, it is one of the processes that they started.
"""

from pathlib import Path

from pisft.cli import experiment_parser, node_of, run
from pisft.cluster.launch import train_in_job
from pisft.config import read_resolved, site
from pisft.provenance.build import Build, building, planned
from pisft.records.checkpoint import CheckpointIndex
from pisft.train.distribution.world import started
from pisft.train.loop import train

LAUNCHERS = {
    "inline": "in this process",
    "local": "in a process for each of cluster.gpus, on this machine",
    "slurm": "in a SLURM job of cluster.num_nodes × cluster.gpus processes, with the settings of config/site.yaml",
}


def main() -> None:
    """Train the experiment with the launcher that --launcher names, or as one of the processes already started."""
    parser = experiment_parser(__doc__)
    told = "; ".join(f"{name}: {what}" for name, what in LAUNCHERS.items())
    parser.add_argument("--launcher", choices=LAUNCHERS, default="local", help=f"{told} (default: local)")
    args = parser.parse_args()
    root, node = node_of("train", args.config)
    here, processes = site.load(root), started()

    def trained(build: Build) -> list[Path]:
        config = read_resolved(args.config)
        if args.launcher == "slurm" and not processes:
            return train_in_job(config, root, build.key, build.fingerprint, here)
        run_dir = root / f"results/{node.name}"
        return train(config, run_dir, root / "data", build.key, build.fingerprint, here, args.launcher)

    if processes and int(processes["RANK"]):
        trained(planned(node, root))  # rank 0 writes the record
        return
    with building(node, root) as build:
        build.outputs.extend(trained(build))
        build.arithmetic = CheckpointIndex.read_from(root / f"results/{node.name}").arithmetic


if __name__ == "__main__":
    run(main)
