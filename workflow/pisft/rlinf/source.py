"""Reads the values of an RLinf configuration by key, such as `actor.optim.lr`. Start from `Source(path, overrides)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, overload

from pisft.config.base import ConfigError
from pisft.rlinf.hydra import compose, unresolved
from pisft.rlinf.vocabulary import WORDS


class Source:
    """The configuration in `path`, with Hydra's `overrides`; `missing` has a sentence for each file that is not there.

    Its methods raise `ConfigError` on a value of another type than the one asked for. Only keys of the vocabulary can
    be read, so that the documentation has them all.
    """

    def __init__(self, path: Path, overrides: Iterable[str] = ()):
        self.path = path
        self.content, self.missing = compose(path, overrides)

    def raw(self, key: str) -> Any:
        """Return the value of `key` as it stands, resolved or not; None if it is absent."""
        value: Any = self.content
        for part in key.removesuffix(".*").split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, `default` if it is absent or null; raises `ConfigError` if it is not resolved."""
        assert key in WORDS, f"{key} is not in the vocabulary"
        value = self.raw(key)
        if unresolved(value):
            raise self.error(key, f"{value} is not resolved: set the variable in the environment")
        return default if value is None else value

    @overload
    def number(self, key: str) -> float | None: ...
    @overload
    def number(self, key: str, default: float) -> float: ...
    def number(self, key: str, default: float | None = None) -> float | None:
        """Return the number at `key`, `default` if it is absent."""
        value = self.get(key, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise self.error(key, f"found {value!r}; expected a number")
        return value

    def required(self, key: str) -> float:
        """Return the number at `key`, without which there is no experiment."""
        if (value := self.number(key)) is None:
            raise self.error(key, "is missing, and has no default in RLinf either")
        return value

    def count(self, key: str) -> int:
        """Return the whole number at `key`, 1 if it is absent."""
        value = self.number(key, 1)
        if value < 1 or value != int(value):
            raise self.error(key, f"found {value!r}; expected a whole number, 1 or more")
        return int(value)

    def flag(self, key: str) -> bool:
        """Return the truth value at `key`, False if it is absent."""
        value = self.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"found {value!r}; expected true or false")
        return value

    def error(self, key: str, reason: str) -> ConfigError:
        """Return an error on `key` that an override would mend."""
        return ConfigError(f"{self.path}: {key}: {reason}; or give {key}=<value> after the file")

    def leaves(self) -> Iterator[tuple[str, Any]]:
        """Yield every key that holds a value and no mapping, with it."""
        return _leaves(self.content)


def _leaves(content: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
