"""The basis of every configuration file: strict types, and errors that a person can act on.

Start from `read_yaml(path, Type)`: it parses one YAML file into a pydantic type, and every mistake becomes one
`ConfigError` that names the file, the key, what was found and the nearest valid name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from pisft.config.document import LARGEST, ConfigError, parse_yaml
from pisft.names import one_line, shown, why_no_name


class Strict(BaseModel):
    """Base of every configuration type: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read one YAML file into this type; raises `ConfigError`."""
        return read_yaml(path, cls)


T = TypeVar("T", bound=BaseModel)


_read: ContextVar[dict[Path, None] | None] = ContextVar("read", default=None)


@contextmanager
def noting_files() -> Iterator[dict[Path, None]]:
    """Yield a dict that collects, as keys in order, the configuration files read while in the context."""
    files: dict[Path, None] = {}
    token = _read.set(files)
    try:
        yield files
    finally:
        _read.reset(token)


def load_yaml(path: str | Path) -> Any:
    """Return the content of a YAML file; raises `ConfigError` if it is unreadable or malformed."""
    path = Path(path)
    if (noted := _read.get()) is not None:
        noted[path] = None
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_yaml(content, path)


def read_yaml(path: str | Path, cls: type[T]) -> T:  # noqa: UP047  simulators may need an older Python
    """Parse the YAML file at `path` as `cls`; raises `ConfigError` naming file, key and remedy."""
    return parse(load_yaml(path), cls, source=path)


def parse(content: Any, cls: type[T], source: str | Path) -> T:  # noqa: UP047
    """Validate `content` (plain YAML data from `source`) as `cls`; raises `ConfigError`."""
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: expected a mapping of keys to values, found {shown(content)}")
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(dict.fromkeys(_message(source, cls, e) for e in error.errors()))) from None


# Names in other trainers for the same thing, too different for a spelling suggestion.
SYNONYMS = {
    "batch_size": "global_batch_size",
    "dataset": "datasets",
    "learning_rate": "peak_lr",
    "lr": "peak_lr",
    "max_steps": "steps",
    "num_train_steps": "steps",
    "save_interval": "save_every",
}


def nearest(name: str, valid: list[str]) -> str:
    """Return `did you mean 'x'?` for a synonym or a close match, else the list of valid names."""
    if SYNONYMS.get(str(name)) in valid:
        return f"did you mean '{SYNONYMS[name]}'?"
    match = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    if match:
        return f"did you mean '{match[0]}'?"
    return f"valid: {', '.join(sorted(valid))}" if valid else "there is none yet"


def find_named(folder: str | Path, name: str, source: str | Path, key: str) -> Path:
    """Return the path `folder/<name>.yaml`; if it is missing, raises `ConfigError` on `key` of `source`."""
    if reason := why_no_name(str(name)):
        raise ConfigError(f"{one_line(str(source))}: {key}: {shown(name)} cannot be a name: {reason}")
    folder = Path(folder)
    path = folder / f"{name}.yaml"
    if not path.is_file():
        valid = sorted(p.stem for p in folder.glob("*.yaml"))
        raise ConfigError(f"{source}: {key}: no file {path}; {nearest(name, valid)}")
    return path


def _message(source: str | Path, cls: type[BaseModel], error: Mapping[str, Any]) -> str:
    classes, path = _follow(cls, error["loc"])
    key = ".".join(str(part) for part in path) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"{source}: {key}: unknown key; {nearest(str(path[-1]), _keys(classes))}"
    if error["type"] == "missing":
        return f"{source}: {key}: is required and missing"
    if error["type"] in ("literal_error", "union_tag_invalid"):
        expected = error["ctx"].get("expected") or error["ctx"]["expected_tags"]
        found = error["ctx"].get("tag", error["input"])
        if error["type"] == "union_tag_invalid":
            key = ".".join([*map(str, path), error["ctx"]["discriminator"].strip("'")])
        names = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
        return f"{source}: {key}: found {shown(found)}; expected {expected}; {nearest(str(found), names)}"
    if error["type"] == "union_tag_not_found":
        key = ".".join([*map(str, path), error["ctx"]["discriminator"].strip("'")])
        return f"{source}: {key}: is required and missing"
    reason = error["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:]
    return f"{source}: {key}: found {shown(error['input'])}; {reason}"


def _follow(cls: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[list[type[BaseModel]], list[str | int]]:
    """Return the types that hold the last part of pydantic's `loc`, and `loc` as the keys and indices of the file.

    `loc` also names the union member that was tried, and the field `origin` that wraps a file's top level; neither is
    written in a file.
    """
    classes, path = [cls], []
    for part in loc:
        fields = [c.model_fields[part] for c in classes if part in c.model_fields]
        aliased = [f for c in classes for f in c.model_fields.values() if f.alias == part]
        if fields or aliased:
            inner = [m for field in fields + aliased for m in _models_in(field.annotation)]
            if part != "origin":
                path.append(part)
            if part != loc[-1]:
                classes = inner or classes
        elif isinstance(part, str) and len(classes) > 1 and part in {_tag(c) for c in classes}:
            classes = [c for c in classes if _tag(c) == part]
        elif part == loc[-1] or isinstance(part, int):
            path.append(part)
    return classes, path


def _keys(classes: list[type[BaseModel]]) -> list[str]:
    return sorted({field.alias or name for c in classes for name, field in c.model_fields.items()})


def _tag(cls: type[BaseModel]) -> str | None:
    """Return the value that distinguishes `cls` from the other members of its union."""
    tags = [f.default for f in cls.model_fields.values() if get_origin(f.annotation) is Literal]
    return next((tag for tag in tags if isinstance(tag, str)), cls.__name__)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in get_args(annotation) for m in _models_in(arg)]
