"""Tells what became of each of RLinf's keys: no key goes without a line. Start from `Report.say(how, key, value)`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from pisft.names import one_line
from pisft.rlinf.draft import inline
from pisft.rlinf.source import Source
from pisft.rlinf.vocabulary import WORDS, How

Fate = How | Literal["missing", "assumed", "unknown"]


class Line(NamedTuple):
    """What became of one key; `missing`: a file does not exist; `assumed`: no key says it."""

    how: Fate
    text: str

    def __str__(self) -> str:
        return one_line(f"{self.how:<10}  {self.text}")


class Report:
    """The lines on the keys of `source`, collected while they are translated."""

    def __init__(self, source: Source):
        self.source = source
        self.lines = [Line("missing", sentence) for sentence in source.missing]
        self.said: set[str] = set()

    def say(self, how: Fate, key: str, value: Any, ours: str = "", remark: str = "") -> None:
        """Add a line on RLinf's `key`, which marks it as accounted for; `ours` is what it became."""
        self.said.add(key)
        text = f"{key}: {inline(value)}" + (f" → {ours}" if ours else "") + (f" ({remark})" if remark else "")
        self.lines.append(Line(how, text))

    def unread(self, keys: Iterable[str], reason: str) -> None:
        """Add a line on each of `keys` that is there: it is left out for `reason`."""
        for key in keys:
            if (value := self.source.get(key)) is not None:
                self.say("left out", key, value, remark=reason)

    def assume(self, ours: str, value: Any, reason: str) -> None:
        """Add a line on a key of ours that no key of RLinf's says."""
        self.lines.append(Line("assumed", f"{ours}: {inline(value)} ({reason})"))

    def rest(self) -> None:
        """Add a line for every key that has none yet; keys under one vocabulary entry share a line."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for key, value in self.source.leaves():
            parts = key.split(".")
            above = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
            if self.said.isdisjoint(above) and value is not None:
                word = next((word for word in (key, *(f"{part}.*" for part in above)) if word in WORDS), key)
                found.setdefault(word, []).append((key, value))
        for word, leaves in found.items():
            if word not in WORDS:
                match = difflib.get_close_matches(word, WORDS, n=1, cutoff=0.8)
                remark = f"did you mean {match[0]}?" if match else "not among RLinf's keys that are known here"
                self.say("unknown", word, leaves[0][1], remark=remark)
            elif len(leaves) == 1:
                self.say("left out", *leaves[0], remark=WORDS[word].remark)
            else:
                names = ", ".join(key.removeprefix(word.removesuffix("*")) for key, _ in leaves)
                self.lines.append(Line("left out", f"{word}: {names} ({WORDS[word].remark})"))
