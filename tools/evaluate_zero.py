"""Evaluate a policy that does nothing on an experiment's own episodes: the lower bound of its success.

    python tools/evaluate_zero.py results/maniskill_tiny/config.json

Relative actions are zeros, absolute ones the observed state. If eval.json exists, Fisher's exact test of it against
this bound is printed too.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pisft.cli import experiment_parser, place, run
from pisft.config import Resolved, read_resolved
from pisft.data.transforms.format import Format
from pisft.errors import PisftError
from pisft.evaluate.intervals import fisher
from pisft.evaluate.run import closed_loop
from pisft.records.evaluation import Evaluation, Rate


class Still:
    """Has the interface of the experiment's policy, but does nothing."""

    def __init__(self, config: Resolved):
        self.format = Format(config.format)
        self.noise_shape = (config.model.action_horizon, config.model.action_dim)
        self.dims = len(self.format.robot_names({}))

    def infer(self, observations: Sequence[dict[str, Any]], _noise: np.ndarray) -> list[np.ndarray]:
        """Return a chunk (H, d) for each observation that moves nothing: zeros, or the observed state repeated."""
        relative = self.format.config.action_type == "delta"
        still = [np.zeros(self.dims) if relative else self.format.state(seen) for seen in observations]
        return [np.tile(action, (self.noise_shape[0], 1)) for action in still]


def floor(path: Path, workers: int) -> tuple[Rate, list[str]]:
    """Return (`overall` as in eval.json, how simulator processes were lost) of doing nothing, for a config.json."""
    config = read_resolved(path)
    if config.eval.closed_loop is None:
        raise PisftError(f"{path}: eval.closed_loop: is null; expected a protocol to evaluate by")
    went: dict[str, Any] = {}
    return closed_loop(config, Still(config), None, workers, went).overall, went["lost_simulators"]


def main() -> None:
    """Print the success of doing nothing, and the test of eval.json against it where there is one."""
    parser = experiment_parser(__doc__)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="simulator processes")
    args = parser.parse_args()
    root, name = place(args.config)
    found, lost = floor(args.config, args.workers)
    low, high = found.wilson95
    print(f"doing nothing: {found.successes}/{found.episodes}, 95 % interval {low:.1%} to {high:.1%}")
    if lost:
        print(f"simulator processes that were lost, and whose episodes were repeated: {', '.join(lost)}")
    path = root / f"results/{name}" / Evaluation.name_of_file
    if path.is_file() and (closed := Evaluation.read(path).closed_loop):
        ours = closed.overall
        p = fisher(ours.successes, ours.episodes, found.successes, found.episodes)
        print(f"{name}: {ours.successes}/{ours.episodes}; Fisher's exact test against it: p = {p:.1e}")


if __name__ == "__main__":
    run(main)
