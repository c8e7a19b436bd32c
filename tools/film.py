"""Film episodes of an evaluation: each is simulated again with the actions that were executed.

    python tools/film.py results/quickstart --episode button-press-topdown:20003 drawer-close:20000
    python tools/film.py results/quickstart --all

The videos go to `results/<exp>/films/`; those that the evaluation itself made are in `videos/`.
"""

import argparse
import os
from pathlib import Path

from pisft.cli import run
from pisft.config import read_resolved
from pisft.errors import PisftError
from pisft.evaluate.recorded_actions import episodes
from pisft.evaluate.video import film


def main() -> None:
    """Film the episodes that the command line names; raises `PisftError` if one was not filmed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path, metavar="results/<exp>", help="an experiment that was evaluated")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--episode", nargs="+", metavar="TASK:SEED", help="these")
    which.add_argument("--all", action="store_true", help="every one")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="simulator processes")
    args = parser.parse_args()
    chosen = episodes(args.run_dir, [named(text) for text in args.episode] if args.episode else None)
    config = read_resolved(args.run_dir / "config.json")
    if config.eval.closed_loop is None:
        raise PisftError(f"{args.run_dir}/config.json: eval.closed_loop: is null; there is nothing to film")
    folder = args.run_dir / "films"
    filmed = film(config.simulators[config.eval.closed_loop.simulator], chosen, folder, args.workers)
    print(f"{len(list(folder.glob('*.mp4')))} videos in {folder}")
    if filmed.failed:
        raise PisftError("not filmed: " + "\n".join(filmed.failed))


def named(text: str) -> tuple[str, int]:
    """Parse `<task>:<seed>`; raises `PisftError`."""
    task, _, seed = text.rpartition(":")
    if not task or not seed.isdigit():
        raise PisftError(f"--episode: found '{text}'; expected a task and a seed, as in button-press-topdown:20003")
    return task, int(seed)


if __name__ == "__main__":
    run(main)
