"""Make a frame store: one camera of a dataset, decoded once, at the model's image size.

    python scripts/make_frames.py data/metaworld_quickstart/frames/observation.image.96 --workers 2

The folder's name says what to make: `data/<dataset>/frames/<camera>.<pixels>`. The disk space needed is printed first;
the same command resumes after an interruption. Training reads the store instead of the dataset's images.
"""

import argparse
import os
from pathlib import Path

from pisft.cli import run
from pisft.data.loading.frame_store import GIB, INDEX, PIXELS, build
from pisft.data.sources.library import open_dataset
from pisft.errors import PisftError
from pisft.progress import bar
from pisft.provenance.build import building
from pisft.stages import Node


def main() -> None:
    """Build the frame store that the folder's name describes; raises `PisftError` for another name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="data/<dataset>/frames/<camera>.<pixels>")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="decoding threads")
    args = parser.parse_args()
    camera, _, size = args.folder.name.rpartition(".")
    if len(args.folder.parts) != 4 or args.folder.parts[::2] != ("data", "frames") or not camera or not size.isdigit():
        raise PisftError(f"{args.folder}: expected data/<dataset>/frames/<camera>.<pixels>")
    with building(Node("make_frames", args.folder.relative_to("data").as_posix())) as made:
        data = open_dataset(args.folder.parents[1])
        total = data.num_frames * 3 * int(size) ** 2
        print(f"{args.folder}: {data.num_frames:,} frames, {total / GIB:.2f} GiB", flush=True)
        with bar(data.num_frames, f"{args.folder.parts[1]} {camera}", "frame") as progress:
            for done in build(data, camera, int(size), args.workers):
                progress.update(done - progress.n)
        made.outputs.extend([args.folder / PIXELS, args.folder / INDEX])


if __name__ == "__main__":
    run(main)
