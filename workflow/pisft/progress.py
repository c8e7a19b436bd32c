"""Shows the progress of a long stage on stderr. Start from `bar`."""

from __future__ import annotations

import sys

from tqdm import tqdm


def bar(total: int, desc: str, unit: str) -> tqdm:
    """Return a progress bar that updates often in a terminal and rarely in a log."""
    return tqdm(total=total, desc=desc, unit=unit, mininterval=0.5 if sys.stderr.isatty() else 30.0)
