"""Snakemake's lock outlives a Snakemake that is killed; it does not say whose it is. Start from `unlock`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from pisft.canonical import read_json, write_json
from pisft.errors import PisftError
from pisft.process import identity, is_dead


def unlock(root: Path = Path()) -> None:
    """Take away the locks below `root` where every Snakemake that was noted there is dead, and note this one.

    Called wherever the Snakefile is read, so each Snakemake is noted before it can lock. Those that Snakemake starts
    for its jobs lock nothing.
    """
    if "--nolock" in sys.argv:
        return
    notes, locks = root / ".snakemake/pisft/running", root / ".snakemake/locks"
    me = identity()
    mine = notes / f"{me['pid']}.{me['started']}.json"
    others = [path for path in notes.glob("*.json") if path != mine]
    dead = [path for path in others if _dead(path)]
    if others and len(dead) == len(others):
        for path in (*locks.glob("*.lock"), *dead):
            path.unlink(missing_ok=True)
    write_json(mine, me)


def _dead(note: Path) -> bool:
    with contextlib.suppress(PisftError, KeyError):
        return is_dead(read_json(note))
    return False
