"""The rules for names, since a name becomes a folder, a file, a target and a word of a command.

`why_no_name` is for names that people choose here (experiments, datasets, formats, models, simulators, papers),
`why_no_key` for names from elsewhere (cameras, tasks): any script, but nothing that a shell, a path or a terminal
interprets. Both return the reason, or None. `shown` formats unchecked text for a message.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

NAME = r"[A-Za-z0-9][A-Za-z0-9_.~=+-]*"  # the project's own names; also used for Snakefile wildcards
LONGEST = 200  # bytes; file names may have 255, and endings are added
PLAIN = " _.,:@+=~-"  # characters that a key may have besides letters and digits


def shown(value: Any, limit: int = 80) -> str:
    """Return `value` as a Python literal: one line, whatever it contains, of at most `limit` characters."""
    text = repr(value[: limit + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    """Return `text` with terminal control characters escaped (`\\x1b`); line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Like `printable`, with line breaks escaped too."""
    return printable(text).replace("\n", "\\n")


def why_no_name(name: str) -> str | None:
    """Return why `name` cannot name a file of the project, or None if it can."""
    if not re.fullmatch(NAME, name):
        return "expected letters, digits and _ . - ~ = +, the first a letter or a digit"
    return _why_no_file(name)


@lru_cache
def why_no_key(key: str) -> str | None:
    """Return why a dataset's `key` cannot be a folder's name, or None if it can."""
    strange = [c for c in key if unicodedata.category(c)[0] not in "LMN" and c not in PLAIN]
    if strange:
        return f"{shown(strange[0])} is neither a letter, a digit, a space nor one of {PLAIN.strip()}"
    if not key or key[0] in " .-~" or key[-1] in " .":
        return "expected it to begin with a letter, a digit or _, and not to end with a space or a dot"
    return _why_no_file(key)


def why_no_task(task: str) -> str | None:
    """Like `why_no_key` for a simulator's task, which may have parts: `suite/task`."""
    return next((reason for part in task.split("/") if (reason := why_no_key(part))), None)


def _why_no_file(name: str) -> str | None:
    if ".." in name:
        return "expected no .. in it"
    if len(name.encode()) > LONGEST:
        return f"expected at most {LONGEST} bytes"
    return None
