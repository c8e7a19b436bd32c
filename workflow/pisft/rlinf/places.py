"""Tells where RLinf's paths lead: to a hub repository, to a folder, or nowhere yet. Start from `hub_repo`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pisft.config.base import load_yaml
from pisft.rlinf.source import Source

HUB = re.compile(r"((?!\.)[\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
PLACEHOLDER = re.compile(r"/path/to/|<.*>")


def is_placeholder(value: Any) -> bool:
    """Whether `value` names nothing, as `/path/to/model` in RLinf's own files."""
    return value is None or PLACEHOLDER.search(str(value)) is not None


def hub_repo(source: Source, key: str, value: str, known: Path | None = None) -> dict[str, str] | None:
    """Parse `org/name@revision`, found at `key`, as {repo, revision}; None for a folder.

    Without a revision, takes that of a file in the folder `known` with this repo. Raises `ConfigError` if none has it.
    """
    match = HUB.fullmatch(value)
    if match is None or Path(value).is_dir():
        return None
    repo, revision = match.groups()
    for content in map(load_yaml, sorted(known.glob("*.yaml")) if known else []):
        if revision is None and isinstance(content, dict) and content.get("repo") == repo:
            revision = content.get("revision")
    if revision is None:
        raise source.error(
            key,
            f"'{repo}' is a hub repo, which needs a pinned revision, {repo}@<commit or tag>; a folder begins with "
            "/, ~ or ./",
        )
    return {"repo": repo, "revision": str(revision)}
