"""The project once more, elsewhere: a fresh clone of what is committed, in which one builds and compares. Start from
`fresh_clone`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pisft.config.base import load_yaml
from pisft.errors import PisftError
from pisft.git import git
from pisft.provenance.freshness import SMALL, state
from pisft.provenance.record import recorded
from pisft.stages import Node, ProvenanceError
from pisft.stages.base import subject


def fresh_clone(folder: Path, root: Path = Path()) -> Path:
    """Clone the project at `root`, as it is committed, to `folder`; raises `PisftError` where something is not."""
    changed = git("status", "--porcelain", "--untracked-files=no", root=root)
    if changed:
        files = ", ".join(line[3:] for line in changed.splitlines())
        raise PisftError(f"{files}: changed and not committed; a rebuild uses what is committed: commit first")
    git("clone", "--quiet", str(root.absolute()), str(folder))
    return folder


def given(nodes: list[Node], root: Path = Path()) -> list[Node]:
    """Those of `nodes` that are not built again but taken as they are: datasets that were not generated, and converted
    base weights."""
    return [node for node in nodes if not node.definition.rebuilt(subject(node, root))]


def take(node: Node, clone: Path, root: Path = Path()) -> None:
    """Let `clone` have `node` as it is in `root`, with its record; raises `ProvenanceError` where it is stale there.

    Nothing in `root` is written through it: what is small is copied, and what is large is a link, which a rename
    replaces; folders are the clone's own.
    """
    record = recorded(node, root)
    if record is None:
        raise ProvenanceError(f"{node.target}: is missing or has no record; run: snakemake {node.target}")
    for path in (*record.outputs, node.provenance):
        source, copy = (root / path).absolute(), clone / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.stat().st_size > SMALL:
            copy.symlink_to(source.resolve())
        else:
            shutil.copyfile(source, copy)
    data = root / Path(node.target).with_name("lerobot")
    if data.is_symlink() and not (clone / data.relative_to(root)).exists():  # somebody's own folder, only read
        (clone / data.relative_to(root)).symlink_to(data.resolve())
    if reason := state(node, clone):
        raise ProvenanceError(f"{node.target}: {reason}; run: snakemake {node.target}")


def run_in(folder: Path, *command: str) -> None:
    """Run `command` in a clone, with the clone's own code in this environment; raises `PisftError` where it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "workflow")}
    code = subprocess.run(command, cwd=folder, env=environment).returncode
    if code:
        raise PisftError(f"{' '.join(command)}: ended with exit code {code} in {folder}; see above")


def locks(root: Path) -> list[Path]:
    """Each dvc.lock of the project at `root`."""
    return sorted((*root.glob("dvc.lock"), *root.glob("papers/**/dvc.lock")))


def locked(root: Path) -> dict[str, str]:
    """path → md5 of everything that each dvc.lock of the project at `root` says a stage leaves; a folder's md5 is that
    of its list."""
    found = {}
    for path in locks(root):
        lock: dict[str, Any] = load_yaml(path)
        for stage in lock["stages"].values():
            found |= {out["path"]: out["md5"] for out in stage.get("outs", [])}
    return found
