"""An experiment's results as DVC has them of a git revision. Start from `of_revision`."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from pisft.errors import PisftError
from pisft.git import git

CACHE = Path(".snakemake/pisft/revisions")


def of_revision(name: str) -> tuple[Path, str]:
    """(the folder into which `<revision>:<experiment>` is copied from DVC's cache or its remote, its commit).

    Raises `PisftError` where git does not know the revision, or DVC has no results of it.
    """
    from dvc.api import DVCFileSystem  # a second to import
    from dvc.exceptions import DvcException

    revision, _, exp = name.rpartition(":")
    try:
        commit = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except PisftError as error:
        raise PisftError(f"{name}: git knows no revision '{revision}'; expected <revision>:<experiment>") from error
    folder = CACHE / commit / exp
    if folder.is_dir():
        return folder, commit
    partial = folder.with_name(f".{exp}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        files = DVCFileSystem(rev=commit)
        if not files.exists(f"results/{exp}/config.json"):
            raise PisftError(f"{name}: its dvc.lock has no results/{exp}; expected an experiment of a paper")
        files.get(f"results/{exp}", str(partial), recursive=True)
        partial.rename(folder)
    except (DvcException, OSError) as error:
        raise PisftError(f"{name}: DVC cannot read its files ({error}); run: dvc fetch --all-commits") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder, commit


def commits(a: str | None, b: str | None, code: list[str]) -> list[str]:
    """`<commit> <subject>` of each commit between those of two results that touched a file of `code` (named as in
    provenance records), the newest first; none where git cannot tell."""
    if not a or not b or not code:
        return []
    paths = [f"workflow/{path}" if path.startswith("pisft/") else path for path in code]
    with contextlib.suppress(PisftError):
        return git("log", "--format=%h %s", f"{a.rstrip('+')}...{b.rstrip('+')}", "--", *paths).splitlines()
    return []
