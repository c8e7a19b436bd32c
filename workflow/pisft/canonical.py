"""Files that are the same bytes for the same content, never half written, and known by their hash.

Start from `write_json`, `read_json`, `file_facts` and `files_below`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pisft.atomic import new_file
from pisft.errors import PisftError
from pisft.names import shown

KINDS = {dict: "object", list: "list"}


def digest(content: Any) -> str:
    """sha256 of `content` as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as `json_text`, whole or not at all."""
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """Return `content` as JSON with sorted keys and two spaces; raises `ValueError` for a NaN or an infinity."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path, error: type[PisftError] = PisftError, remedy: str = "", kind: type = dict) -> Any:
    """Return the content of the JSON file at `path`, a `kind`: by default an object.

    Raises `error`, whose message names the file, says what was found and ends with the `remedy`.
    """
    remedy = f"; {remedy}" if remedy else ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise error(f"{path}: cannot be read: {reason.strerror}{remedy}") from reason
    except (ValueError, RecursionError) as reason:
        raise error(f"{path}: is not JSON ({reason}){remedy}") from reason
    if not isinstance(content, kind):
        raise error(f"{path}: found {shown(content)}; expected a JSON {KINDS[kind]}{remedy}")
    return content


def for_others(path: Path) -> None:
    """Give a file the permissions that a new one has here: what libraries write by a temporary file is its owner's
    alone, and a shared checkpoint could not be read by those that it is shared with."""
    new = path.with_name(f".{path.name}.new")
    new.touch()
    path.chmod(new.stat().st_mode)
    new.unlink()


def files_below(folder: str | Path) -> list[Path]:
    """All files below `folder`, sorted by path; linked folders are entered, but no folder inside itself."""
    found: list[Path] = []
    lines: dict[str, set[tuple[int, int]]] = {}
    for place, folders, names in os.walk(folder, followlinks=True):
        facts = os.stat(place)
        line = lines.get(os.path.dirname(place), set())
        if (facts.st_dev, facts.st_ino) in line:
            folders.clear()
            continue
        lines[place] = line | {(facts.st_dev, facts.st_ino)}
        found += [path for path in map(Path(place).joinpath, names) if path.is_file()]
    return sorted(found)


def file_facts(path: str | Path) -> dict[str, Any]:
    """{"size", "sha256"} of a file."""
    with open(path, "rb") as file:
        return {"size": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
