"""Upload an experiment's checkpoint to the hub, or copy it to a folder, with a model card made from eval.json.

    python tools/upload.py results/quickstart --license apache-2.0 --to ~/published/quickstart
    python tools/upload.py results/quickstart --license apache-2.0 --to hub:owner/name --layout lerobot

On the hub, the repository is private unless --public; the token is that of `hf auth login` or HF_TOKEN. The files
replace those in the repository, which stay in its history. Stale, damaged or unevaluated results are refused.
"""

import argparse
import tempfile
from pathlib import Path

from pisft.cli import run
from pisft.export.upload import LAYOUTS, UploadError, assemble, upload
from pisft.provenance.freshness import state
from pisft.provenance.record import damage, recorded
from pisft.stages import Node


def main() -> None:
    """Publish the checkpoint to the folder or hub repository that --to names, and print what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path, metavar="results/<exp>", help="an experiment that was evaluated")
    parser.add_argument("--to", required=True, help="a folder, or hub:<owner>/<name>")
    parser.add_argument("--license", required=True, help="licence of the uploaded model, such as apache-2.0 or gemma")
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="checkpoint",
        help="layout of the files: whose code loads them (default: pi-sft)",
    )
    parser.add_argument("--public", action="store_true", help="make the repository on the hub public")
    args = parser.parse_args()
    name = args.run_dir.name
    check(args.run_dir, args.layout)
    if not args.to.startswith("hub:"):
        folder = Path(args.to).expanduser()
        print(*assemble(args.run_dir, args.layout, args.license, folder), sep="\n")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        assemble(args.run_dir, args.layout, args.license, folder)
        print(upload(folder, args.to.removeprefix("hub:"), private=not args.public))


def check(run_dir: Path, layout: str) -> None:
    """Raise `UploadError` unless the files of `run_dir` to be uploaded are fresh and have the recorded hashes."""
    name = run_dir.resolve().name
    if run_dir.resolve().parent != Path("results").resolve():
        raise UploadError(
            f"{run_dir}: is not a results/<exp> of this project, whose code and configuration tell whether it is fresh"
        )
    for stage in ["resolve", "train", "evaluate", *([f"export_{layout}"] if layout != "checkpoint" else [])]:
        node = Node(stage, name)
        reason = state(node)
        if reason or (reason := next(damage(recorded(node).outputs), None)):
            raise UploadError(f"{node.target}: {reason}; run: snakemake {node.target}")


if __name__ == "__main__":
    run(main)
