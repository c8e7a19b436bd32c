"""The record of what an artefact was made from, as a type. Start from `pisft.provenance.record.recorded`."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from pisft.arithmetic import Arithmetic
from pisft.canonical import digest
from pisft.records.base import FileFacts, MadeFrom, Part, Versioned

KEYED = ("stage", "config", "code", "packages", "parents", "pins")  # which a key is the hash of


class Ingredients(Part):
    """What an artefact is made from: the stage's slice of the configuration, hashes of its code, versions of packages,
    keys of its parents by their target, hashes of its sources by their pin; `outside` is what the configuration calls
    each source, and no part of the key."""

    stage: str
    config: dict[str, Any]
    code: dict[str, str]
    packages: dict[str, str]
    parents: dict[str, str]
    pins: dict[str, str]
    key: str
    outside: dict[str, str] = Field(default_factory=dict)

    @property
    def is_true(self) -> bool:
        """Whether the key is the hash of the rest but for `outside`."""
        return self.key == digest(self.model_dump(mode="json", include=set(KEYED)))

    def made_from(self, uv_lock: str | None) -> MadeFrom:
        """The same in short, for a target that is handed on alone."""
        data = digest([self.parents, self.pins])
        hashes = {name: digest(getattr(self, name)) for name in ("config", "code", "packages")}
        return MadeFrom(**hashes, data=data, key=self.key, uv_lock=uv_lock)


class Accepted(Part):
    """An earlier key whose artefact changed code was accepted to make, too. `commit` is where it was compared from, and
    `compared` the files that came out the same there and here, path → sha256; None where nobody compared."""

    key: str
    commit: str | None = None
    compared: dict[str, str] | None = None


class Record(Versioned, Ingredients):
    """The record as a file: ingredients, files (path → facts), the sha256 of uv.lock, what was computed with (None
    where nobody noted it), and what was accepted."""

    kind: ClassVar[str] = "provenance"
    remedy: ClassVar[str] = "build its artefact again"

    outputs: dict[str, FileFacts]
    uv_lock: str | None
    arithmetic: Arithmetic | None = None
    accepted: list[Accepted] = Field(default_factory=list)
