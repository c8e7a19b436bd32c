"""Logs a run's metrics: always to metrics.csv, to TensorBoard and wandb if configured.

Start from `Metrics`. metrics.csv has what is the same each time the run is trained; metrics.timing.csv has its speed.
Both are beside the training state until they are copied out with the checkpoint, so that a stopped run leaves the
results of an earlier one untouched. They are saved with the training state (`Metrics.tables`), so that a resumed run
continues its own tables, with no step missing or repeated.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pisft.config.experiment import Resolved
from pisft.train.checkpoints.files import METRICS

LEARNT, TIMING = METRICS, "metrics.timing.csv"
COLUMNS = {
    LEARNT: ("step", "loss", "loss_real_dims", "lr", "grad_norm", "val_loss", "val_loss_real_dims"),
    TIMING: ("step", "samples_per_s", "data_wait_s", "memory_gib", "mfu"),
}  # LEARNT also has loss_dim_<n>, the loss of each real action dim


class Metrics:
    """The loggers of one run, with tables in `folder`.

    `step` and `tables` (text by file name) are those of the training state that it resumes from.
    """

    def __init__(
        self,
        config: Resolved,
        run_dir: Path,
        folder: Path,
        real_dims: int,
        key: str,
        step: int,
        tables: dict[str, str] | None,
    ):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        dims = tuple(f"loss_dim_{i}" for i in range(real_dims))
        self.columns = COLUMNS | {LEARNT: COLUMNS[LEARNT] + dims}
        for name, columns in self.columns.items():
            (folder / name).write_text(tables[name] if tables else ",".join(columns) + "\n")
        self._tensorboard = _tensorboard(run_dir, key, step) if config.logging.tensorboard else None
        self._wandb = _wandb(config, run_dir, key) if config.logging.wandb != "off" else None

    @property
    def tables(self) -> dict[str, str]:
        """The tables so far, text by file name."""
        return {name: (self.folder / name).read_text() for name in COLUMNS}

    def log(self, step: int, values: dict[str, float]) -> None:
        """Add one row to each table; columns without a value stay empty, and a value without a column is an error."""
        timed = {name: value for name, value in values.items() if name in COLUMNS[TIMING]}
        self._append(TIMING, step, timed)
        self._append(LEARNT, step, {name: value for name, value in values.items() if name not in timed})
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb = _attempt(self._wandb, lambda run: run.log(values, step=step))

    def _append(self, table: str, step: int, values: dict[str, float]) -> None:
        line = io.StringIO()
        row = {"step": step} | {name: f"{value:.6g}" for name, value in values.items()}
        csv.DictWriter(line, self.columns[table], lineterminator="\n").writerow(row)
        with (self.folder / table).open("a") as file:
            file.write(line.getvalue())

    def close(self) -> None:
        """Flush and close TensorBoard and wandb."""
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            _attempt(self._wandb, lambda run: run.finish())


class NoMetrics:
    """Stands in for `Metrics` in every rank but 0."""

    tables: ClassVar[dict[str, str]] = {}

    def log(self, step: int, values: dict[str, float]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _tensorboard(run_dir: Path, key: str, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    # one folder a key, so that runs of different configurations in one results folder are separate curves
    return SummaryWriter(run_dir / "tensorboard" / key[:12], purge_step=step + 1 if step else None)


def _wandb(config: Resolved, run_dir: Path, key: str) -> Any:
    """Start the wandb run; None, with a warning, if that fails: an unreachable tracker never stops training."""

    def start(_: None) -> Any:
        import wandb

        return wandb.init(
            project="pi-sft",
            name=config.name,
            id=f"{config.name}-{key[:12]}".replace("~", "-"),
            resume="allow" if config.logging.wandb == "online" else None,
            mode=cast(Literal["offline", "online"], config.logging.wandb),
            dir=run_dir,
            config=config.model_dump(mode="json", by_alias=True),
        )

    return _attempt(None, start, result=True)


def _attempt(run: Any, action: Any, result: bool = False) -> Any:
    """Call `action(run)`; returns `run`, or with `result` what it returned; on an error None, which disables wandb."""
    try:
        outcome = action(run)
    except Exception as error:  # noqa: BLE001  an unreachable tracker never stops training
        print(f"warning: wandb is not logged from here on: {' '.join(str(error).split())[:200]}", file=sys.stderr)
        return None
    return outcome if result else run
