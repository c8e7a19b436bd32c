"""Resolves `extends:` in an experiment or a model, a file that lists only what differs. Start from `inherit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pisft.config.base import ConfigError, find_named, load_yaml


def inherit(path: Path, seen: tuple[Path, ...] = ()) -> Any:
    """Return the content of `path` merged over that of the file which its `extends` names, recursively.

    Raises `ConfigError` for a circle.
    """
    content = load_yaml(path)
    if not isinstance(content, dict) or "extends" not in content:
        return content
    content = dict(content)
    parent = find_named(path.parent, content.pop("extends"), path, "extends")
    if parent in (*seen, path):
        raise ConfigError(f"{path}: extends: is circular, through {parent}")
    return _overlay(inherit(parent, (*seen, path)), content)


def _overlay(below: Any, above: Any) -> Any:
    """Merge mappings and replace everything else; `base`, and mappings with another `method`, are replaced whole."""
    if isinstance(below, dict) and isinstance(above, dict) and above.get("method") in (None, below.get("method")):
        merged = {key: _overlay(below.get(key), above[key]) if key in above else below[key] for key in below | above}
        return merged | ({"base": above["base"]} if "base" in above else {})
    return above
