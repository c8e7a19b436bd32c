"""The common parts of all scripts: the form of their arguments and how errors are reported. Start from `run(main)`."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable
from pathlib import Path

from pisft.errors import PisftError
from pisft.names import shown, why_no_name
from pisft.process import end_with_snakemake
from pisft.stages import Node


def run(main: Callable[[], int | None]) -> None:
    """Call `main` and exit: 0 when done, 1 with a message for an error that a person can fix, 130 when interrupted."""
    end_with_snakemake()
    try:
        code = main()
    except PisftError as error:
        code = _say(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        code = _say(f"no space left{where}; free some and run the same command again: what was built so far is kept")
    except KeyboardInterrupt as interruption:
        code = _say(f"{interruption or 'interrupted'}; run the same command again to resume") and 130
    sys.exit(code or 0)


def experiment_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the one argument of every stage of an experiment, its `config.json`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="results/<exp>/config.json (scripts/resolve.py <exp> writes it)")
    return parser


def place(config: Path) -> tuple[Path, str]:
    """Return the project's root and the experiment's name for `results/<exp>/config.json`; raises `PisftError`."""
    path = config.absolute()
    if path.name != "config.json" or path.parents[1].name != "results":
        raise PisftError(f"{config}: found another file; expected results/<exp>/config.json")
    if reason := why_no_name(path.parent.name):
        raise PisftError(f"{shown(path.parent.name)} cannot name an experiment: {reason}")
    if not path.is_file():
        raise PisftError(f"{config}: is missing; run: python scripts/resolve.py {path.parent.name}")
    return path.parents[2], path.parent.name


def node_of(stage: str, config: Path) -> tuple[Path, Node]:
    """Return root and node of the stage that a script builds for `config`."""
    root, name = place(config)
    return root, Node(stage, name)


def _say(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1
