"""Files and folders that artefacts are made from and no stage makes. Start from `Source`."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from pisft.canonical import files_below


class Source(NamedTuple):
    """What the configuration calls it, and where that is."""

    written: str
    path: Path

    @classmethod
    def at(cls, written: str, root: Path) -> Source:
        """That at the path `written`, which is relative to `root` unless it is absolute."""
        return cls(written, root / Path(written).expanduser())

    def listing(self) -> Any:
        """Names and sizes of the files below it, linked ones too, and the content of its `meta/*.json` and statistics:
        cheap enough for a DAG. Of a file, its size; None where nothing is there."""
        if self.path.is_file():
            return self.path.stat().st_size
        if not self.path.is_dir():
            return None
        files = [(path.relative_to(self.path).as_posix(), path) for path in files_below(self.path)]
        read = [name for name, _ in files if name.endswith("norm_stats.json") or fnmatch(name, "meta/*.json")]
        texts = {name: (self.path / name).read_text(errors="replace") for name in read}
        return [[(name, path.stat().st_size) for name, path in files], texts]
