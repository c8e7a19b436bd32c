"""What every configuration file is made of: strict types, and errors that a person can act on.

Start from `read_yaml(path, Type)`: it parses one YAML file into a pydantic type, and every mistake in it
becomes one `ConfigError` that names the file, the key, what was found and the nearest valid name.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pisft.errors import PisftError


class ConfigError(PisftError, ValueError):
    """A mistake in a configuration file, told as one line."""


class Strict(BaseModel):
    """Base of every configuration type: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read one YAML file into this type; raises `ConfigError`."""
        return read_yaml(path, cls)


T = TypeVar("T", bound=BaseModel)


def load_yaml(path: str | Path) -> Any:
    """`yaml.safe_load` of a file; an unreadable or malformed file is a `ConfigError`."""
    path = Path(path)
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error


def read_yaml(path: str | Path, cls: type[T]) -> T:
    """Parse the YAML file at `path` as `cls`; raises `ConfigError` naming file, key and remedy."""
    return parse(load_yaml(path), cls, source=path)


def parse(content: Any, cls: type[T], source: str | Path) -> T:
    """Validate `content` (plain YAML data that came from `source`) as `cls`."""
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: expected a mapping of keys to values, found {_show(content)}")
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(dict.fromkeys(_message(source, cls, e) for e in error.errors()))) from None


def nearest(name: str, valid: list[str]) -> str:
    """`, did you mean 'x'?` for a close match, else the list of valid names."""
    match = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    if match:
        return f"did you mean '{match[0]}'?"
    return f"valid: {', '.join(sorted(valid))}" if valid else "there is none yet"


def find_named(folder: str | Path, name: str, source: str | Path, key: str) -> Path:
    """Path of `folder/<name>.yaml`; a missing one is a `ConfigError` on `key` of `source` with the nearest name."""
    folder = Path(folder)
    path = folder / f"{name}.yaml"
    if not path.is_file():
        valid = sorted(p.stem for p in folder.glob("*.yaml"))
        raise ConfigError(f"{source}: {key}: no file {path}; {nearest(name, valid)}")
    return path


def _show(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _message(source: str | Path, cls: type[BaseModel], error: dict[str, Any]) -> str:
    loc = [part for part in error["loc"] if not (isinstance(part, str) and part.startswith(("function-", "literal[")))]
    key = ".".join(str(part) for part in loc) or "(top level)"
    if error["type"] == "extra_forbidden":
        valid = _keys_at(cls, loc[:-1])
        return f"{source}: {key}: unknown key; {nearest(str(loc[-1]), valid)}"
    if error["type"] == "missing":
        return f"{source}: {key}: is required and missing"
    if error["type"] == "literal_error":
        expected = error["ctx"]["expected"]
        names = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
        return f"{source}: {key}: found {_show(error['input'])}; expected {expected}; {nearest(str(error['input']), names)}"
    reason = error["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:]
    return f"{source}: {key}: found {_show(error['input'])}; {reason}"


def _keys_at(cls: type[BaseModel], loc: list[Any]) -> list[str]:
    """Valid keys of the type reached by following `loc` from `cls` (through lists, dicts and unions)."""
    classes = [cls]
    for part in loc:
        if isinstance(part, int):
            continue
        found: list[type[BaseModel]] = []
        for c in classes:
            if part in c.model_fields:
                found += _models_in(c.model_fields[part].annotation)
            elif part == c.__name__ or part in {_tag(c)}:
                found.append(c)
        classes = found or classes
    return sorted({name for c in classes for name in c.model_fields})


def _tag(cls: type[BaseModel]) -> str | None:
    for field in cls.model_fields.values():
        default = field.default
        if isinstance(default, str) and getattr(field.annotation, "__origin__", None) is not None:
            return default
    return None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in getattr(annotation, "__args__", ()) for m in _models_in(arg)]
