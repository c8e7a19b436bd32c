"""What git says of the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pisft.errors import PisftError


def git(*arguments: str, root: Path = Path()) -> str:
    """What the command prints in `root`; raises `PisftError` with what git says where it fails or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError as error:
        raise PisftError(f"git {arguments[0]}: {error}") from error
    if done.returncode:
        raise PisftError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")
