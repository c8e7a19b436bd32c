"""What a folder holds, byte for byte: `write_manifest` lists every file with its size and sha256;
`verify_sizes` (quick), `verify_hashes` (sure) and `verify` (both, after the first time) name what is not what it was.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pisft.canonical import file_facts, write_json
from pisft.data.errors import DataError

VERIFIED = ".verified.json"
MEND = "fetch or build the dataset again, or delete the manifest if the change is meant"


def files_of(root: str | Path) -> dict[str, Path]:
    """Relative path → path of every file under `root` that is not hidden, sorted; raises `DataError`."""
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; expected the files of a manifest")
    files = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: path for name, path in files.items() if not is_hidden(name)}


def is_hidden(name: str) -> bool:
    """Hidden files are a downloader's notes, with clock times in them."""
    return any(part.startswith(".") for part in Path(name).parts)


def describe(root: str | Path) -> dict[str, dict[str, Any]]:
    """Relative path → {"size", "sha256"} of every file under `root` that is not hidden, sorted."""
    return {name: file_facts(path) for name, path in files_of(root).items()}


def write_manifest(root: str | Path, path: str | Path, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Write `extra` and `files` (see `describe`) as canonical JSON to `path` by a rename, and return them."""
    content = {**extra, "files": describe(root)}
    write_json(path, content)
    return content


def verify_sizes(root: str | Path, path: str | Path) -> None:
    """Raise a `DataError` that names the first file which is missing, surplus or of another size."""
    expected, found = _read(path), files_of(root)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise DataError(f"{Path(root) / name}: is missing; {path} lists it: {MEND}")
        if name not in expected:
            raise DataError(f"{found[name]}: is not listed in {path}: {MEND}")
        size, listed = found[name].stat().st_size, expected[name]["size"]
        if size != listed:
            how = "truncated" if size < listed else "changed"
            raise DataError(f"{found[name]}: {how}: {size} bytes; {path} says {listed}: {MEND}")


def verify_hashes(root: str | Path, path: str | Path) -> None:
    """`verify_sizes`, and then the content of every file."""
    verify_sizes(root, path)
    for name, expected in _read(path).items():
        _verify_hash(Path(root) / name, expected["sha256"], path)


def verify(root: str | Path, path: str | Path) -> None:
    """`verify_hashes`, but files that this machine has hashed before and that nobody touched since are only looked at.

    What was looked at is noted in `.verified.json` beside the manifest.
    """
    root, notes = Path(root), Path(path).with_name(VERIFIED)
    verify_sizes(root, path)
    known, seen = _notes(notes), {}
    for name, expected in _read(path).items():
        facts = (root / name).stat()
        mark = [expected["sha256"], facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
        if known.get(name) != mark:
            _verify_hash(root / name, expected["sha256"], path)
        seen[name] = mark
    if seen != known:
        with contextlib.suppress(OSError):  # somebody else's data folder may not be ours to write
            write_json(notes, seen)


def _notes(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _verify_hash(file: Path, expected: str, path: str | Path) -> None:
    if (digest := file_facts(file)["sha256"]) != expected:
        raise DataError(f"{file}: changed: sha256 {digest[:12]}…; {path} says {expected[:12]}…: {MEND}")


def _read(path: str | Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads(Path(path).read_text())["files"]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is not a manifest ({error!r}); expected JSON with 'files'") from error
