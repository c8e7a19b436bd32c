"""Reports what this machine has, and what each missing thing would enable. Start from `examine`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pisft import environments
from pisft.data.transforms.tokenizer import PALIGEMMA_REPO
from pisft.simulators.gl import loads

GIB = 2**30
DRIVER = 580  # the oldest for CUDA 13, for which the locked torch is built
ROOM = 100  # GiB: full-size training keeps two training states of 50 GiB
ENVIRONMENTS = {
    "maniskill": "evaluation and demonstrations in ManiSkill 3",
    "aloha": "evaluation and demonstrations in gym-aloha",
    "libero": "evaluation in LIBERO",
    "calvin": "evaluation in CALVIN",
    "robotwin": "evaluation in RoboTwin",
    "orbax": "openpi's JAX checkpoints as base weights",
}


@dataclass(frozen=True)
class Finding:
    """One result; `has` is None for mere information, `enables` says what needs the thing."""

    what: str
    has: bool | None
    found: str
    enables: str


def examine(root: Path) -> list[Finding]:
    """Run every check; nothing is installed, downloaded or changed. Takes seconds, mostly to import torch."""
    checks: list[Callable[[], list[Finding]]] = [
        _python,
        _driver,
        _gpu,
        _opengl,
        _vulkan,
        _slurm,
        _hub,
        _tokenizer,
        lambda: _disk(root),
        _environments,
        _browser,
    ]
    return [finding for check in checks for finding in check()]


def _python() -> list[Finding]:
    version = sys.version.split()[0]
    return [Finding("Python 3.12", sys.version_info[:2] == (3, 12), version, "everything")]


def _driver() -> list[Finding]:
    what, enables = f"NVIDIA driver {DRIVER}", "the GPU: torch is built for CUDA 13"
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        version = (
            subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True).stdout.split("\n")[0].strip()
        )
        has = int(version.split(".")[0]) >= DRIVER
    except FileNotFoundError:
        return [Finding(what, False, "no nvidia-smi on PATH", enables)]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return [Finding(what, False, f"nvidia-smi does not answer ({type(error).__name__})", enables)]
    return [Finding(what, has, version if has else f"{version}, which is older", enables)]


def _gpu() -> list[Finding]:
    import torch

    enables = "full-size training and sampling; without one, tiny models and ~smoke"
    if not torch.cuda.is_available():
        return [Finding("GPU", False, f"none that torch {torch.__version__} can use", enables)]
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = min(torch.cuda.get_device_properties(i).total_memory for i in range(len(names))) / GIB
    return [Finding("GPU", True, f"{len(names)} × {names[0]}, {memory:.0f} GiB", enables)]


def _opengl() -> list[Finding]:
    found = [name for name in ("libEGL.so.1", "libOSMesa.so.8") if loads(name)]
    return [Finding("OpenGL without a screen", bool(found), ", ".join(found) or "none", "MetaWorld, ALOHA, LIBERO")]


def _vulkan() -> list[Finding]:
    drivers = sorted(path.stem for path in Path("/usr/share/vulkan/icd.d").glob("*.json"))
    has = loads("libvulkan.so.1") and bool(drivers)
    return [
        Finding("Vulkan", has, ", ".join(drivers) if has else "none", "ManiSkill 3 (without a GPU, Mesa 25 or newer)")
    ]


def _slurm() -> list[Finding]:
    if shutil.which("sbatch") is None:
        return [Finding("SLURM", False, "no sbatch on PATH", "--profile slurm")]
    try:
        asked = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding("SLURM", False, f"sinfo does not answer ({type(error).__name__})", "--profile slurm")]
    return [
        Finding(
            "SLURM", asked.returncode == 0, (asked.stdout or asked.stderr).strip().partition("\n")[0], "--profile slurm"
        )
    ]


def _hub() -> list[Finding]:
    from huggingface_hub import get_token
    from huggingface_hub.constants import ENDPOINT

    try:
        with urllib.request.urlopen(f"{ENDPOINT}/api/models?limit=1", timeout=5) as answer:
            reached, found = True, f"answers {answer.status}"
    except (OSError, ValueError) as error:
        reached, found = False, f"cannot be reached ({type(error).__name__})"
    token = "one is set" if get_token() else "none"
    return [
        Finding("hub", reached, found, "datasets and base weights named by hub id"),
        Finding("hub token", bool(get_token()), token, "gated repositories, such as PaliGemma's tokenizer"),
    ]


def _tokenizer() -> list[Finding]:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(PALIGEMMA_REPO, "tokenizer.json")
    found = "in the hub's cache" if isinstance(cached, str) else "not in the hub's cache"
    return [Finding("PaliGemma tokenizer", isinstance(cached, str), found, "published models; or set tokenizer.path")]


def _disk(root: Path) -> list[Finding]:
    free = shutil.disk_usage(root).free / GIB
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return [
        Finding(
            "disk", free >= ROOM, f"{free:.0f} GiB free", f"full-size training, whose last two states take {ROOM} GiB"
        ),
        Finding("memory", None, f"{memory:.0f} GiB, {len(os.sched_getaffinity(0))} cores", ""),
    ]


def _environments() -> list[Finding]:
    found = []
    for name, enables in ENVIRONMENTS.items():
        folder = environments.ROOT / "envs" / name
        installed = (folder / ".venv/bin/python").exists()
        by_itself = "not yet: installed when first needed" if (folder / "uv.lock").is_file() else "by hand"
        found.append(Finding(f"envs/{name}", installed, "installed" if installed else by_itself, enables))
    return found


def _browser() -> list[Finding]:
    found = shutil.which("chromedriver")
    return [Finding("chromedriver", bool(found), "found" if found else "none", "the tests that look at pages")]
