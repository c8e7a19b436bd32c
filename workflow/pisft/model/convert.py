"""Converts openpi's published JAX checkpoints to this project's layout. Start from `convert(config, folder, out)`.

orbax and jax run in a process and an environment of their own (envs/orbax), which passes the arrays in a file.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from safetensors import safe_open

from pisft import environments
from pisft.config.model import ModelConfig
from pisft.model.jax_names import read_jax
from pisft.model.weights import WeightsError, write_weights

DUMP = environments.ROOT / "envs/orbax/dump.py"


def convert(config: ModelConfig, orbax_folder: str | Path, out: str | Path) -> None:
    """Write the weights of an orbax checkpoint (`<ckpt>/params`, or `<ckpt>`) to `out` in openpi's PyTorch layout.

    Values and dtypes are unchanged. Raises `WeightsError` that lists missing, surplus and misshapen arrays; nothing is
    written then. Needs memory for one copy of the weights, and until it is done disk space for a second one beside
    `out`.
    """
    orbax_folder, out = Path(orbax_folder), Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        arrays = Path(scratch) / "arrays.safetensors"
        dumped = orbax_python(DUMP, orbax_folder.absolute(), arrays)
        if dumped.returncode:
            raise WeightsError(f"{orbax_folder}: could not be read:\n{dumped.stderr.strip()}")
        with safe_open(arrays, "pt") as stored:
            write_weights(config, read_jax(config, stored, orbax_folder), out)


def orbax_python(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python <args>` in envs/orbax (0.6 GB, installed the first time); its output is captured."""
    command = [environments.python("orbax"), "-I", *args]
    return subprocess.run(command, env=environments.clean(), capture_output=True, text=True)
