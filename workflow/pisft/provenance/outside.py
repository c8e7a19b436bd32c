"""Files and folders that artefacts are made from and no stage makes: local datasets, and base weights and adapters that
lie in a folder. Start from `sources`.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from pisft.canonical import files_below
from pisft.config import load_dataset
from pisft.config.dataset import LocalDataset
from pisft.config.experiment import Lora, Resolved, load_model
from pisft.config.model import BaseWeights
from pisft.provenance.stages import Node


class Source(NamedTuple):
    """What the configuration calls it, and where that is."""

    written: str
    path: Path

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


def sources(node: Node, exp: Resolved | None, root: Path) -> dict[str, Source]:
    """Those that `node` is made from, by the name of their pin."""
    if node.stage == "dataset":
        origin = load_dataset(node.name, root).origin
        local = isinstance(origin, LocalDataset)
        return {"files": Source(origin.path or origin.name, root / origin.folder())} if local else {}
    paths = {}
    if node.stage == "base":
        paths["files"] = load_model(node.name, root).base.orbax
    elif exp is not None:
        base = exp.model.base
        if node.stage == "checkpoint" and isinstance(base, BaseWeights) and base.path is not None:
            paths["base"] = base.path
        if node.stage == "norm_stats" and exp.norm_stats.source == "base" and (base.path or base.orbax):
            paths["base"] = str(base.statistics_folder())
        if node.stage == "checkpoint" and isinstance(exp.finetune, Lora) and exp.finetune.adapter is not None:
            paths["adapter"] = exp.finetune.adapter
    return {name: Source(path, root / Path(path).expanduser()) for name, path in paths.items()}
