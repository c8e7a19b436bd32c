"""One of the two that are compared: a folder as `results/<exp>` has it, whole or in part. Start from `Side.read`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pisft import metrics_csv
from pisft.canonical import read_json
from pisft.errors import PisftError
from pisft.records.evaluation import Evaluation
from pisft.records.health import Health
from pisft.records.provenance import Record

STAGES = ("norm_stats", "train", "evaluate")


@dataclass(frozen=True)
class Side:
    """What was found in `folder`; None or empty for what is not there."""

    label: str
    folder: Path
    config: dict[str, Any]
    norm_stats: dict[str, Any] | None
    evaluation: Evaluation | None
    metrics: list[dict[str, float]]
    provenance: dict[str, Record]
    commit: str | None = None

    @classmethod
    def read(cls, folder: Path, label: str, commit: str | None = None) -> Self:
        """Read what there is; a folder without config.json, or a file that cannot be read, is a `PisftError`.

        `commit` is where the folder is from; by default the one at which it was evaluated, or else trained.
        """
        if not (folder / "config.json").is_file():
            raise PisftError(f"{folder}: holds no config.json; expected results/<exp>")
        records = {stage: folder / f"provenance/{stage}.json" for stage in STAGES}
        evaluation, metrics = folder / Evaluation.name_of_file, folder / "metrics.csv"
        return cls(
            label=label,
            folder=folder,
            config=read_json(folder / "config.json"),
            norm_stats=(_json(folder / "norm_stats.json") or {}).get("norm_stats"),
            evaluation=Evaluation.read(evaluation) if evaluation.is_file() else None,
            metrics=metrics_csv.read(metrics) if metrics.is_file() else [],
            provenance={stage: Record.read(path) for stage, path in records.items() if path.is_file()},
            commit=commit or _commit(folder),
        )

    @property
    def weights(self) -> Path:
        """Of the checkpoint, whether they are there or not."""
        return self.folder / "checkpoint/model.safetensors"

    def names(self, field: str) -> list[str]:
        """A name for each dim of `state` or `actions`; empty where no report of the statistics is there."""
        found = (self.folder / Health.name_of_file).is_file()
        return Health.read_from(self.folder).names(field) if found else []


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _commit(folder: Path) -> str | None:
    machines = (_json(folder / f"machine/{stage}.json") or {} for stage in ("evaluate", "train"))
    return next((machine["commit"] for machine in machines if machine.get("commit")), None)
