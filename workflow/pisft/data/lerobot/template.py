"""Checks the entries of info.json that become paths: templates (`file_of`) and camera keys (`check_keys`).

A template is, for example, `videos/{video_key}/file-{file_index:03d}.mp4`. Both are untrusted text. A template may only
contain the given fields, numbers at most zero-padded, and the result must be inside the dataset's folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pisft.data.errors import DataError
from pisft.names import shown, why_no_key

FIELD = re.compile(r"\{(\w+)(?::(?:0([1-9]))?d)?\}")
LONGEST = 500  # characters of a template


def file_of(root: Path, template: object, source: str, **fields: str | int) -> Path:
    """Return the file below `root` that `template` names with `fields` filled in; `source` is named in errors.

    Raises `DataError` for a template that has other fields or formats, or leads out of the folder. Symbolic links in
    the folder are followed, since its owner made them: lerobot's own cache consists of them.
    """
    if not isinstance(template, str) or not 0 < len(template) <= LONGEST:
        raise _refused(template, source, fields)
    for value in fields.values():
        if isinstance(value, str):
            check_key(value, source)

    def filled(match: re.Match) -> str:
        name, width = match.groups()
        if name not in fields or (isinstance(fields[name], str) and match[0] != f"{{{name}}}"):
            raise _refused(template, source, fields)
        return str(fields[name]).zfill(int(width or 0))

    text = FIELD.sub(filled, template)
    if set("{}") & set(text) or not text.isprintable() or text.startswith("/") or ".." in text.split("/"):
        raise _refused(template, source, fields)
    return root / text


def check_keys(features: Mapping[str, Any], source: str) -> None:
    """Raise `DataError` unless each camera's key can name a folder and every other key prints in one line.

    `source` is the info.json that has `features`.
    """
    for key, feature in features.items():
        if isinstance(feature, Mapping) and feature.get("dtype") in ("image", "video"):
            check_key(key, f"{source}: features")
        elif not key.isprintable():
            raise DataError(f"{source}: features: the key {shown(key)} holds what cannot be printed; rename it")


def check_key(key: str, source: str) -> None:
    """Raise `DataError` unless a camera's key, found in `source`, can name a folder."""
    if reason := why_no_key(key):
        raise DataError(
            f"{source}: the camera {shown(key)} cannot name a folder: {reason}; rename it there and under videos/"
        )


def _refused(template: object, source: str, fields: dict[str, str | int]) -> DataError:
    known = " ".join(f"{{{name}}}" if isinstance(value, str) else f"{{{name}:03d}}" for name, value in fields.items())
    return DataError(f"{source}: found {shown(template)}; expected a path inside the dataset's folder, made of {known}")
