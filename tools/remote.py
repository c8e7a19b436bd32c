"""Add a remote where DVC stores data and results for others, or explain how.

    python tools/remote.py                                                          (make remote)
    python tools/remote.py s3://bucket/pi-sft --endpoint https://storage.example.org
    python tools/remote.py /shared/pi-sft

Without an address it explains how, and lists the remotes. What it writes to .dvc/config belongs in git; keys and tokens
belong in .dvc/config.local, which git ignores, or where your provider's tools look.
"""

import argparse
import subprocess
from pathlib import Path

from pisft.cli import run
from pisft.errors import PisftError

HOW = """A folder, such as one on a shared disk:
  make remote URL=/shared/pi-sft
S3, or what speaks like it (credentials from ~/.aws, the environment, or the two lines below):
  make remote URL=s3://bucket/pi-sft
  python tools/remote.py s3://bucket/pi-sft --endpoint https://storage.example.org
  dvc remote modify --local storage access_key_id ...
  dvc remote modify --local storage secret_access_key ...
SSH (with your own keys):
  make remote URL=ssh://user@host/path/pi-sft

Then, after a paper or an experiment has been reproduced:
  dvc push            # what dvc.lock lists, to the remote
  dvc pull dvc.yaml   # in another clone: the same files, fresh for Snakemake too"""


def main() -> None:
    """Add DVC's default remote, or without an address print how; raises `PisftError` for another kind of address."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a folder, s3://bucket/path or ssh://user@host/path")
    parser.add_argument("--endpoint", metavar="URL", help="of an S3 service that is not Amazon's")
    args = parser.parse_args()
    if args.url is None:
        print(HOW, f"\nRemotes that there are:\n{dvc('remote', 'list') or '  none yet'}", sep="\n")
        return
    if args.url.rpartition("://")[0] not in ("", "s3", "ssh"):
        raise PisftError(f"{args.url}: found another kind of address; expected a folder, s3://… or ssh://…")
    if "://" not in args.url:
        Path(args.url).expanduser().mkdir(parents=True, exist_ok=True)
    dvc("remote", "add", "--default", "--force", "storage", args.url)
    if args.endpoint:
        dvc("remote", "modify", "storage", "endpointurl", args.endpoint)
    print(f"added to .dvc/config as the default remote: {args.url}\nnow: dvc push")


def dvc(*arguments: str) -> str:
    """Return the output of `dvc`; raises `PisftError` with its error message."""
    done = subprocess.run(["dvc", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise PisftError(f"dvc {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")


if __name__ == "__main__":
    run(main)
