"""Reads metrics.csv, which training writes with one row for each logged step."""

from __future__ import annotations

import csv
from pathlib import Path

from pisft.errors import PisftError


def read(path: Path) -> list[dict[str, float]]:
    """Return each row's values by column, without those not measured at that step; raises `PisftError`."""
    try:
        with path.open(newline="") as file:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError) as error:
        raise PisftError(f"{path}: cannot be read ({error}); expected the table that training writes") from error
