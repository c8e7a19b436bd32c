"""A paper's or a sweep's table as CSV, as lines for a terminal and as a page. Start from `csv_text`."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from pisft.config import Paper
from pisft.evaluate.compare import LENGTH
from pisft.report.sets import Row
from pisft.report.template import template


def csv_text(rows: list[Row]) -> str:
    """One line a row, numbers with six significant digits; what is not known is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    return buffer.getvalue()


def paper_text(rows: list[Row]) -> str:
    """The table of a paper for a terminal."""
    lines = [("experiment", "", "measure", "ours", "", "95 % interval", "published", "95 % interval", "by")]
    for row in rows:
        ours, interval = shown(row, "ours"), shown_interval(row, "ours")
        counts = f"{row['successes']}/{row['episodes']}" if row["episodes"] else ""
        theirs = (shown(row, "published") if row["published"] is not None else "–", shown_interval(row, "published"))
        by = row["source"] or ""
        lines.append((row["experiment"], row["label"], row["measure"], ours, counts, interval, *theirs, by))
    return aligned(lines)


def sweep_text(table: list[Row], runs: list[Row]) -> str:
    """Both tables of a sweep for a terminal."""
    return "\n\n".join(
        aligned([tuple(rows[0]), *(tuple(_plain(v) for v in row.values()) for row in rows)]) for rows in (runs, table)
    )


def paper_page(name: str, paper: Paper, rows: list[Row]) -> str:
    """The paper's page: each experiment's measures with intervals, beside the published ones."""
    return template(Path(__file__).with_name("paper.html.j2")).render(
        name=name,
        paper=paper,
        rows=rows,
        is_rate=is_rate,
        shown=shown,
        shown_interval=shown_interval,
        shown_difference=shown_difference,
    )


def shown(row: Row, key: str) -> str:
    """`ours` or `published` as a person reads it: a rate in percent, another number as it is, or why there is none."""
    value = row[key]
    if value is None:
        return row["state"]
    return f"{100 * value:.1f} %" if is_rate(row) else f"{value:.4g}"


def shown_interval(row: Row, key: str) -> str:
    """The interval of `key`, or nothing."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    if low is None:
        return ""
    return f"{100 * low:.1f} – {100 * high:.1f} %" if is_rate(row) else f"{low:.4g} – {high:.4g}"


def shown_difference(row: Row) -> str:
    """Ours less what was published, in points where they are rates, with its interval where that is known."""
    scale, digits = (100, 1) if is_rate(row) else (1, 2)
    ends = [row[f"difference_{end}"] for end in ("low", "high")]
    told = [f"{scale * value:+.{digits}f}" for value in (row["difference"], *ends) if value is not None]
    return f"{told[0]} ({told[1]} to {told[2]})" if len(told) == 3 else "".join(told)


def is_rate(row: Row) -> bool:
    """Whether the row is of a success rate."""
    return row["measure"] not in ("held-out flow loss", LENGTH)


def aligned(lines: list[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
