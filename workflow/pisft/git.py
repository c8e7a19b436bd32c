"""Runs git on the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pisft.errors import PisftError


def git(*arguments: str, root: Path = Path()) -> str:
    """Return what the command prints in `root`; raises `PisftError` with git's message if it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError as error:
        raise PisftError(f"git {arguments[0]}: {error}") from error
    if done.returncode:
        raise PisftError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")
