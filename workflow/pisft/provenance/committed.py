"""Whether what was made here is, bit for bit, what was committed. Start from `beside_lock`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from pisft.canonical import files_below
from pisft.errors import PisftError
from pisft.git import git
from pisft.provenance.record import read_record

# What of a result no key stands in, so that it is compared by what it is and not by which code made it.
COMPARED = {"norm_stats.json": "statistics", "checkpoint": "checkpoint", "rollouts.safetensors": "success"}
DECIDES = ("workflow", "scripts", "config", "uv.lock")


def beside_lock(exp: str, root: Path = Path()) -> str | None:
    """A line that says which of the statistics, checkpoint and rollouts in results/`exp` have the hashes of the last
    committed dvc.lock, and what is known to be a cause where they have others.

    None where there is nothing to compare: no such experiment in a lock, or no git.
    """
    found = _committed(exp, root)
    here = {path: _md5(root / f"results/{exp}/{path}") for path in COMPARED}
    there = {path: found.get(f"results/{exp}/{path}") for path in COMPARED}
    both = [path for path in COMPARED if here[path] and there[path]]
    if not both:
        return None
    same = [COMPARED[path] for path in both if here[path] == there[path]]
    other = [COMPARED[path] for path in both if here[path] != there[path]]
    if not other:
        return f"{exp}: {_and(same)}: bit for bit those of the committed dvc.lock"
    reasons = _reasons(exp, found, root)
    why = "; ".join(reasons) if reasons else "no cause is known, so please report it"
    kept = f"; {_and(same)}: bit for bit the same" if same else ""
    return f"{exp}: {_and(other)}: not those of the committed dvc.lock ({why}){kept}"


def _committed(exp: str, root: Path) -> dict[str, str]:
    """path → md5 of the stage that leaves the experiment, and of what DVC counts as its dependencies."""
    try:
        paths = [path for path in git("ls-files", root=root).splitlines() if Path(path).name == "dvc.lock"]
        locks = [yaml.safe_load(git("show", f"HEAD:{path}", root=root)) for path in paths]
    except PisftError:
        return {}
    for lock in locks:
        for stage in lock["stages"].values():
            outs: list[dict[str, Any]] = stage.get("outs", [])
            if any(out["path"].startswith(f"results/{exp}/") for out in outs):
                return {one["path"]: one["md5"] for one in [*stage.get("deps", []), *outs]}
    return {}


def _reasons(exp: str, found: dict[str, str], root: Path) -> list[str]:
    reasons = []
    records = [read_record(path) for path in sorted((root / f"results/{exp}/provenance").glob("*.json"))]
    used = {record.arithmetic for record in records if record}
    reasons += ["computed on a GPU"] if "gpu" in used else []
    reasons += ["computed with native arithmetic"] if "native" in used else []
    if found.get(f"results/{exp}/config.json") != _md5(root / f"results/{exp}/config.json"):
        reasons.append("another configuration")
    if found.get("uv.lock") != _md5(root / "uv.lock"):
        reasons.append("other versions of packages: uv.lock")
    made = git("log", "-1", "--format=%H", "--", "dvc.lock", root=root)
    if made and git("diff", "--name-only", made, "--", *DECIDES, root=root):
        reasons.append(f"the project changed since commit {made[:12]}, where the lock is from")
    return reasons


def _md5(path: Path) -> str | None:
    """The hash by which DVC knows a file or a folder; None where nothing is there."""
    if path.is_dir():
        files = [{"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in files_below(path)]
        listed = json.dumps(sorted(files, key=lambda file: str(file["relpath"])), sort_keys=True)
        return f"{hashlib.md5(listed.encode()).hexdigest()}.dir"
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
