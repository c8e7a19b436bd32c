"""How far a long stage is, on stderr. Start from `bar`."""

from __future__ import annotations

import sys

from tqdm import tqdm


def bar(total: int, desc: str, unit: str) -> tqdm:
    """A progress bar that is drawn often in a terminal and now and then in a log."""
    return tqdm(total=total, desc=desc, unit=unit, mininterval=0.5 if sys.stderr.isatty() else 30.0)
