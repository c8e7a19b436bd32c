"""What a folder holds, byte for byte: `describe` lists every file with its size and sha256;
`verify_sizes` (quick), `verify_hashes` (sure) and `verify` (both, after the first time) name what is not what it was.
"""

from __future__ import annotations

from pathlib import Path

from pisft.canonical import file_facts, files_below
from pisft.data.errors import DataError
from pisft.records.base import FileFacts, RecordError, facts_of
from pisft.records.manifest import Manifest
from pisft.verified import first_damaged

VERIFIED = ".verified.json"
REMEDY = "fetch or build the dataset again, or delete the manifest if the change is intended"


def files_of(root: str | Path) -> dict[str, Path]:
    """Relative path → path of every file under `root` that is not hidden, sorted; raises `DataError`."""
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; expected the files of a manifest")
    files = {path.relative_to(root).as_posix(): path for path in files_below(root)}
    return {name: path for name, path in files.items() if not is_hidden(name)}


def is_hidden(name: str) -> bool:
    """Hidden files are a downloader's notes, with clock times in them."""
    return any(part.startswith(".") for part in Path(name).parts)


def describe(root: str | Path) -> dict[str, FileFacts]:
    """Size and sha256 of every file under `root` that is not hidden, by its relative path, sorted."""
    return {name: facts_of(path) for name, path in files_of(root).items()}


def verify_sizes(root: str | Path, path: str | Path) -> None:
    """Raise a `DataError` that names the first file which is missing, surplus or of another size."""
    expected, found = _read(path), files_of(root)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise DataError(f"{Path(root) / name}: is missing; {path} lists it: {REMEDY}")
        if name not in expected:
            raise DataError(f"{found[name]}: is not listed in {path}: {REMEDY}")
        size, listed = found[name].stat().st_size, expected[name].size
        if size != listed:
            how = "truncated" if size < listed else "changed"
            raise DataError(f"{found[name]}: {how}: {size} bytes; {path} says {listed}: {REMEDY}")


def verify_hashes(root: str | Path, path: str | Path) -> None:
    """`verify_sizes`, and then the content of every file."""
    verify_sizes(root, path)
    for name, expected in _read(path).items():
        _verify_hash(Path(root) / name, expected.sha256, path)


def verify(root: str | Path, path: str | Path) -> None:
    """`verify_hashes`, but files that this machine has hashed before and that nobody touched since are only looked at.

    What was looked at is noted in `.verified.json` beside the manifest.
    """
    verify_sizes(root, path)
    files = {name: (Path(root) / name, expected.sha256) for name, expected in _read(path).items()}
    if damaged := first_damaged(files, Path(path).with_name(VERIFIED)):
        name, found = damaged
        raise _changed(files[name][0], found, files[name][1], path)


def _verify_hash(file: Path, expected: str, path: str | Path) -> None:
    if (found := file_facts(file)["sha256"]) != expected:
        raise _changed(file, found, expected, path)


def _changed(file: Path, found: str | None, expected: str, path: str | Path) -> DataError:
    what = f"changed: sha256 {found[:12]}…" if found else "cannot be read"
    return DataError(f"{file}: {what}; {path} says {expected[:12]}…: {REMEDY}")


def _read(path: str | Path) -> dict[str, FileFacts]:
    try:
        return Manifest.read(path).files
    except RecordError as error:
        raise DataError(str(error)) from error
