"""Reads a Hydra configuration without Hydra: its defaults list, `${...}` and command-line overrides.

Start from `compose(path, overrides)`. Only what YAML files can express is supported: no resolver but `oc.env`, no code.
What cannot be found or resolved is reported and left unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pisft.config.base import ConfigError, load_yaml
from pisft.config.document import DEEPEST, MOST, parse_yaml
from pisft.names import shown

INTERPOLATION = re.compile(r"\$\{([^${}]+)\}")
# OmegaConf reads 1e-10 as a number; YAML 1.1 only 1.0e-10.
FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
MISSING = object()
LINE = 100  # characters that count as one value
Place = tuple[str, ...]  # the keys that lead to a value


def compose(path: str | Path, overrides: Iterable[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration in `path`, composed and resolved, and a sentence for each file it names that is missing.

    `overrides` are Hydra's `key.of.it=value`. The files of the defaults list are searched beside `path` and in
    `hydra.searchpath`. Raises `ConfigError`.
    """
    path = Path(path)
    own = _mapping(path)
    entries = own.pop("defaults", None) or []
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: defaults: found {entries!r}; expected a list")
    if "_self_" not in entries:
        entries = [*entries, "_self_"]  # as in Hydra: a file overrides its defaults

    folders, absent = _folders(path, own)
    content: dict[str, Any] = {}
    for entry in entries:
        if entry == "_self_":
            content = _overlay(content, own)
        elif group := _group(entry, path):
            name, package = group
            found = next((file for folder in folders if (file := folder / f"{name}.yaml").is_file()), None)
            if found is None:
                absent.append(f"defaults: {name}.yaml is neither beside {path.name} nor in hydra.searchpath")
                continue
            part = _mapping(found)
            if part.pop("defaults", None):
                absent.append(f"defaults: {name}.yaml has a defaults list of its own, which is not followed")
            content = _overlay(content, _nested(package, part))
    for override in overrides:
        content = _overlay(content, _override(override, path))
    return _Whole(path, content).resolved(content), absent


def unresolved(value: Any) -> bool:
    """Whether `value` still contains an interpolation, or OmegaConf's `???`."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return any(map(unresolved, value))
    return isinstance(value, str) and (value == "???" or INTERPOLATION.search(value) is not None)


def _mapping(path: Path) -> dict[str, Any]:
    content = load_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, found {type(content).__name__}")
    return content


def _folders(path: Path, own: dict[str, Any]) -> tuple[list[Path], list[str]]:
    """Return the folders to search for the defaults list's groups, and notes on entries that cannot be searched."""
    folders, absent = [path.parent], []
    hydra = own.get("hydra")
    search = hydra.get("searchpath") if isinstance(hydra, dict) else None
    for entry in search if isinstance(search, list) else []:
        place = _Whole(path, own).resolved(str(entry))
        if unresolved(place):
            absent.append(f"hydra.searchpath: {entry} is not resolved: set the variable in the environment")
        elif place.startswith("pkg://"):
            absent.append(f"hydra.searchpath: {entry} is inside a Python package, which is not opened")
        else:
            folders.append(Path(place.removeprefix("file://")))
    return folders, absent


def _group(entry: Any, path: Path) -> tuple[str, str] | None:
    """Parse `model/pi0@actor.model` or `{env/train: x}` as (`model/pi0`, `actor.model`); None for Hydra's own."""
    if isinstance(entry, dict) and len(entry) == 1:
        (key, choice), *_ = entry.items()
        key = str(key)
        if choice is None or key.startswith("override "):
            return None
        group, _, package = key.removeprefix("optional ").partition("@")
        return f"{group.strip('/')}/{choice}", package or group.strip("/").replace("/", ".")
    if not isinstance(entry, str):
        raise ConfigError(f"{path}: defaults: found {entry!r}; expected <group>/<file>@<key> or <group>: <file>")
    name, _, package = entry.strip("/").partition("@")
    return name, package or name.rpartition("/")[0].replace("/", ".")


def _nested(package: str, content: dict[str, Any]) -> dict[str, Any]:
    for key in reversed([] if package == "_global_" else package.split(".") if package else []):
        content = {key: content}
    return content


def _override(text: str, path: Path) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    key = key.lstrip("+")
    if not equals or not re.fullmatch(r"[^\s.]+(\.[^\s.]+)*", key):
        raise ConfigError(f"{path}: {text}: expected <key>=<value>, such as runner.max_steps=1000")
    return _nested(key, parse_yaml(value, f"{path}: {shown(text)}"))


def _overlay(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: _overlay(below.get(key), above[key]) if key in above else below[key] for key in below | above}
    return above


class _Whole:
    """Resolves interpolations, and limits their total, since a few lines can expand beyond all memory."""

    def __init__(self, path: Path, root: dict[str, Any]):
        self.path, self.root, self.left = path, root, MOST

    def resolved(self, node: Any, at: Place = (), open_: frozenset[Place] = frozenset()) -> Any:
        """Return `node`, found at `at`, with resolvable interpolations replaced; `open_` are those in progress."""
        self.left -= 1 + (len(node) // LINE if isinstance(node, str) else 0)
        if self.left < 0 or len(at) > DEEPEST or len(open_) > DEEPEST:
            key = ".".join(at[:DEEPEST])
            raise ConfigError(
                f"{self.path}: {key}: its ${{...}} expand to more than {MOST:,} values, or more than {DEEPEST} deep; "
                "write the values out"
            )
        if isinstance(node, dict):
            return {str(key): self.resolved(value, (*at, str(key)), open_) for key, value in node.items()}
        if isinstance(node, list):
            return [self.resolved(value, (*at, str(i)), open_) for i, value in enumerate(node)]
        if not isinstance(node, str):
            return node
        if FLOAT.fullmatch(node):
            return float(node)
        open_ |= {at}
        if whole := INTERPOLATION.fullmatch(node):
            value = self._look_up(whole[1], at, open_)
            return node if value is MISSING else value

        def piece(match: re.Match) -> str:
            value = self._look_up(match[1], at, open_)
            return match[0] if value is MISSING or isinstance(value, (dict, list)) else str(value)

        replaced = INTERPOLATION.sub(piece, node)
        return self.resolved(replaced, at, open_) if replaced != node and "${" in replaced else replaced

    def _look_up(self, key: str, at: Place, open_: frozenset[Place]) -> Any:
        if key.startswith("oc.env:"):
            name, _, default = key.removeprefix("oc.env:").partition(",")
            value = os.environ.get(name.strip(), default.strip() or MISSING)
            return MISSING if isinstance(value, str) and "${" in value else value
        if ":" in key:
            return MISSING
        up = len(key) - len(key.lstrip("."))
        target = (*at[: len(at) - up], *key[up:].split(".")) if up else tuple(key.split("."))
        if target in open_ or up > len(at):
            return MISSING
        node: Any = self.root
        for part in target:
            if not isinstance(node, dict) or part not in node:
                return MISSING
            node = node[part]
        return self.resolved(node, target, open_ | {target}) if node != "???" else MISSING
