"""openpi's published JAX checkpoints into our weights. Start from `convert(config, orbax_folder, out)`.

orbax and jax run in a process and an environment of their own (envs/orbax), which hands the arrays over in a file.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from safetensors import safe_open

from pisft.config.model import ModelConfig
from pisft.errors import PisftError
from pisft.model.jax_names import read_jax
from pisft.model.weights import WeightsError, write_weights

ROOT = Path(__file__).parents[3]
ENVIRONMENT = ROOT / "envs/orbax"


def convert(config: ModelConfig, orbax_folder: str | Path, out: str | Path) -> None:
    """Write the weights of an orbax checkpoint (`<ckpt>/params`, or `<ckpt>`) to `out` in openpi's PyTorch layout.

    Values and dtypes stay as they are. A `WeightsError` lists what the checkpoint lacks, has beyond `config`'s model or
    has in another shape; nothing is written then. Takes memory for one copy of the weights, and until it is done disk
    for a second one beside `out`.
    """
    orbax_folder, out = Path(orbax_folder), Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        arrays = Path(scratch) / "arrays.safetensors"
        dumped = orbax_python(ENVIRONMENT / "dump.py", orbax_folder.absolute(), arrays)
        if dumped.returncode:
            raise WeightsError(f"{orbax_folder}: could not be read:\n{dumped.stderr.strip()}")
        with safe_open(arrays, "pt") as stored:
            write_weights(config, read_jax(config, stored, orbax_folder), out)


def orbax_python(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python <args>` in envs/orbax, which uv installs the first time (0.6 GB); its output is captured."""
    # Either would let our own environment into orbax', or uv install orbax into ours.
    foreign = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}
    return subprocess.run(
        [find_uv(), "run", "--quiet", "--locked", "--project", ENVIRONMENT, "python", "-I", *args],
        env={name: value for name, value in os.environ.items() if name not in foreign},
        capture_output=True,
        text=True,
    )


def find_uv() -> str:
    """The `uv` that `make setup` uses: the project's own, else the one on PATH."""
    for uv in (str(ROOT / ".uv/bin/uv"), "uv"):
        try:
            subprocess.run([uv, "--version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return uv
    raise PisftError("uv: not found in .uv/bin or on PATH; it runs envs/orbax; run: make setup")
