"""On what something was made: what may change its bits and is no part of a key. Start from `machine`."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from pisft.errors import PisftError
from pisft.git import git


def machine(root: Path) -> dict[str, Any]:
    """Kind of processor, how many cores this process may use, and, where torch is in use, its threads and its GPU; and
    the commit of the project at `root`.

    No name of a host or a person. Two results may be compared bit for bit where all but the commit are equal.
    """
    found: dict[str, Any] = {
        "commit": _commit(root),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
    }
    if torch := sys.modules.get("torch"):
        cuda = torch.cuda.is_available()
        found |= {
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if cuda else None,
            "cuda": torch.version.cuda if cuda else None,
        }
    return found


def _commit(root: Path) -> str | None:
    """HEAD, with a plus sign where tracked files differ from it; None where git is not there."""
    with contextlib.suppress(PisftError):
        changed = git("status", "--porcelain", "--untracked-files=no", root=root)
        return git("rev-parse", "HEAD", root=root) + ("+" if changed else "")
    return None


def _processor() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.processor()
