"""What an export reads, and how it replaces the one before. Start from `Checkpoint(folder)` and `replacing`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pisft.config.base import read_yaml
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.data.format import Format
from pisft.data.norm_stats import NormStats, load
from pisft.errors import PisftError


class ExportError(PisftError):
    """A checkpoint that cannot be exported."""


class Checkpoint:
    """`results/<exp>/checkpoint`: its model, format and statistics, and where its weights lie."""

    def __init__(self, folder: Path):
        self.folder, self.weights = folder, folder / "model.safetensors"
        for name in ("model.safetensors", "model.json", "format.json", "norm_stats.json"):
            if not (folder / name).is_file():
                raise ExportError(f"{folder / name}: is missing; run: snakemake {folder.parent}/checkpoint.json")
        self.model = read_yaml(folder / "model.json", ModelConfig)  # JSON is YAML
        self.format = Format(read_yaml(folder / "format.json", FormatConfig))
        self.stats: NormStats = load(folder / "norm_stats.json")


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder that becomes `folder` when the block ends well; until then that stays as it was."""
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if folder.exists():
            os.rename(folder, old)
        os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, content: object) -> None:
    """JSON whose keys stay in their order: lerobot's camera features are an ordered mapping."""
    path.write_text(json.dumps(content, indent=2) + "\n")
