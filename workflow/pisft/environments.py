"""Environments for what cannot share the project's own: the locked uv projects under envs/. Start from `python`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pisft.errors import PisftError

ROOT = Path(__file__).parents[2]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
UV = ROOT / ".uv/bin/uv"  # where `make setup` installs it if there is none on PATH


def python(name: str) -> Path:
    """Return the interpreter of `envs/<name>`, installed by uv from its lock file on first use.

    An environment that cannot be locked is installed by hand, see docs/simulators.md. Raises `PisftError`.
    """
    folder = ROOT / "envs" / name
    interpreter = folder / ".venv/bin/python"
    if not (folder / "uv.lock").is_file():
        if not interpreter.exists():
            raise PisftError(f"{folder}/.venv: is missing, and cannot be installed by itself; see docs/simulators.md")
        return interpreter
    if not (folder / ".venv").is_dir():
        print(f"envs/{name}: being installed, once", file=sys.stderr, flush=True)
    synced = subprocess.run(
        [find_uv(), "sync", "--quiet", "--locked", "--project", folder], env=clean(), capture_output=True, text=True
    )
    if synced.returncode:
        raise PisftError(f"envs/{name}: could not be installed:\n{synced.stderr.strip()}")
    return interpreter


def clean() -> dict[str, str]:
    """Return this process's variables without those that would leak one environment into another.

    uv is told to trust the system's certificates, as in envs/setup.sh.
    """
    foreign = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH", "PYTHONHOME"}
    trusted = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"} if CERTIFICATES.is_file() else {}
    return trusted | {name: value for name, value in os.environ.items() if name not in foreign}


def find_uv() -> str:
    """Return the `uv` that `make setup` uses: the project's own, else the one on PATH."""
    for uv in (str(UV), "uv"):
        try:
            subprocess.run([uv, "--version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return uv
    raise PisftError("uv: not found in .uv/bin or on PATH; it installs what is under envs/; run: make setup")
