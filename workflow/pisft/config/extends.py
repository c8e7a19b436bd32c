"""`extends:` in an experiment or a model: a file that says only what is another. Start from `inherit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pisft.config.base import ConfigError, find_named, load_yaml


def inherit(path: Path, seen: tuple[Path, ...] = ()) -> Any:
    """What is in `path`, laid over that of the file beside it which its `extends` names, and so on; a circle is a
    `ConfigError`."""
    content = load_yaml(path)
    if not isinstance(content, dict) or "extends" not in content:
        return content
    content = dict(content)
    parent = find_named(path.parent, content.pop("extends"), path, "extends")
    if parent in (*seen, path):
        raise ConfigError(f"{path}: extends: goes round in a circle through {parent}")
    return _overlay(inherit(parent, (*seen, path)), content)


def _overlay(below: Any, above: Any) -> Any:
    """Mappings are merged, all else is replaced; so are those that choose another `method`, and `base`, one place."""
    if isinstance(below, dict) and isinstance(above, dict) and above.get("method") in (None, below.get("method")):
        merged = {key: _overlay(below.get(key), above[key]) if key in above else below[key] for key in below | above}
        return merged | ({"base": above["base"]} if "base" in above else {})
    return above
