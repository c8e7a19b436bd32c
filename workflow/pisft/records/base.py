"""What every JSON file of ours has in common. Start from `Versioned`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pisft.canonical import file_facts, read_json, write_json
from pisft.errors import PisftError
from pisft.names import shown

REMEDY = "run: snakemake {path}"
VERSION = 1  # of all of them: a change that an older reader would misread raises it


class RecordError(PisftError):
    """A file of ours that is missing, is not what it should be, or is of another version."""


class NewerRecordError(RecordError):
    """A file of a newer version, which nothing here may replace."""


class Part(BaseModel):
    """A mapping inside such a file: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileFacts(Part):
    """Size in bytes and sha256 of a file."""

    size: int
    sha256: str


def facts_of(path: str | Path) -> FileFacts:
    """Read a file's size and sha256; raises `OSError`."""
    return FileFacts(**file_facts(path))


class MadeFrom(Part):
    """What a file that is handed on alone says of where it comes from: digests of the configuration, the code, the
    packages and the data, the key over all of them, and the sha256 of uv.lock, which is no part of the key."""

    config: str
    code: str
    packages: str
    data: str
    key: str
    uv_lock: str | None


class Versioned(Part):
    """A file as a type. `kind` names its schema in config/schema/, `name_of_file` is what it is called in its folder,
    `remedy` says what to do where it cannot be read, with `{path}` in it."""

    kind: ClassVar[str] = ""
    name_of_file: ClassVar[str] = ""
    remedy: ClassVar[str] = REMEDY

    schema_version: Literal[1] = VERSION

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the file at `path`; raises `RecordError`, whose message names the file, the key, what was found and what
        to do."""
        path = Path(path)
        return cls.parse(read_json(path, RecordError, cls.remedy.format(path=_target(path))), path)

    @classmethod
    def read_from(cls, folder: Path) -> Self:
        """Read the file of the usual name in `folder`; raises `RecordError`."""
        return cls.read(folder / cls.name_of_file)

    @classmethod
    def parse(cls, content: Any, path: str | Path) -> Self:
        """The plain JSON `content` of the file at `path` as this type; raises `RecordError`."""
        remedy = cls.remedy.format(path=_target(Path(path)))
        if not isinstance(content, dict):
            raise RecordError(f"{path}: found {shown(content)}; expected a JSON object; {remedy}")
        version = content.get("schema_version", 0)
        if version != VERSION:
            if isinstance(version, int) and version > VERSION:
                raise NewerRecordError(
                    f"{path}: schema_version: found {version}; this version of pi-sft reads up to {VERSION}: update it"
                )
            raise RecordError(f"{path}: schema_version: found {shown(version)}, of an older pi-sft; {remedy}")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            reason = first["msg"][0].lower() + first["msg"][1:]
            found = "" if first["type"] == "missing" else f"found {shown(first['input'])}; "
            raise RecordError(f"{path}: {key}: {found}{reason}; {remedy}") from None

    def write(self, path: str | Path) -> None:
        """Write it to `path` as canonical JSON, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))


def _target(path: Path) -> str:
    """`path` as one types it in the project: from results/ or data/ on."""
    parts = path.parts
    starts = [at for at, part in enumerate(parts) if part in ("results", "data")]
    return "/".join(parts[starts[-1] :] if starts else parts)
