"""Inspect a LeRobot dataset: propose a format for it, and write a page with the reasons.

    python scripts/inspect_dataset.py ~/datasets/my_robot
    python scripts/inspect_dataset.py ~/datasets/my_robot --variant pi05 --out somewhere

Writes `inspection.html`, and `inspection.yaml` to be copied to config/formats/. Reads at most 200 episodes, spread
evenly, and a few images. The dataset is never written.
"""

import argparse
from pathlib import Path

from pisft.canonical import write_text
from pisft.cli import run
from pisft.data.lerobot.dataset import LeRobotData
from pisft.errors import PisftError
from pisft.inspection.look import inspect
from pisft.inspection.page import render
from pisft.inspection.proposal import propose
from pisft.names import shown, why_no_name
from pisft.provenance.build import building
from pisft.stages import Node


def main() -> None:
    """Inspect the dataset and write its page and proposed format; raises `PisftError` for a name that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a LeRobot v3.0 folder; data/<dataset>/lerobot for one of ours")
    parser.add_argument("--out", type=Path, help="folder to write to (default: data/<name>)")
    parser.add_argument("--name", help="of the format and the page (default: the folder's)")
    parser.add_argument("--variant", choices=["pi0", "pi05"], help="the model that is to be trained (default: pi0)")
    args = parser.parse_args()
    ours = len(args.path.parts) == 3 and args.path.parts[::2] == ("data", "lerobot")
    name = args.name or (args.path.parts[1] if ours else args.path.resolve().name)
    if not args.out and (reason := why_no_name(name)):
        raise PisftError(f"{shown(name)} cannot name a folder in data/: {reason}; give --name, or --out")
    if ours and not (args.out or args.name or args.variant):
        with building(Node("inspect_dataset", name)) as build:
            build.outputs.extend(write(args.path, Path("data") / name, name, "pi0"))
    elif ours and not args.out:
        raise PisftError(
            f"data/{name}/inspection.html is what is proposed without options; say --out where to write this"
        )
    else:
        write(args.path, args.out or Path("data") / name, name, args.variant or "pi0")


def write(path: Path, out: Path, name: str, variant: str) -> list[Path]:
    """Inspect the dataset at `path`; returns the files written to `out`, the format first."""
    seen = inspect(LeRobotData(path), name, variant)
    proposal = propose(seen)
    page = render(seen, proposal)
    files = [out / "inspection.yaml", out / "inspection.html"]
    for file, text in zip(files, (proposal.text, page), strict=True):
        write_text(file, text)
        print(file)
    return files


if __name__ == "__main__":
    run(main)
