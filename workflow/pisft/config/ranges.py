"""Numbers written as ranges, such as episodes and GPUs."""

from __future__ import annotations

import re

from pisft.names import shown

NUMBER = re.compile(r"[0-9]{1,7}")  # in a range; longer ones would exhaust memory


def numbers(text: str) -> list[int]:
    """Parse `0-3,7` as [0, 1, 2, 3, 7]: ascending and unique; raises `ValueError` for anything else."""
    found: set[int] = set()
    for item in filter(None, text.split(",")):
        first, _, last = item.strip().partition("-")
        if not NUMBER.fullmatch(first) or not NUMBER.fullmatch(last or first) or int(last or first) < int(first):
            raise ValueError(f"{shown(item)} is neither a number nor a range such as 0-49")
        found |= set(range(int(first), int(last or first) + 1))
    return sorted(found)
