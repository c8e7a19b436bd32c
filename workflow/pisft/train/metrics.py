"""What a run tells while it trains: metrics.csv always, TensorBoard and wandb where the config asks.

Start from `Metrics`. metrics.csv travels with the training state (`Metrics.text`), so that a resumed run continues
the table that belongs to it, without a step missing or told twice.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

from pisft.config.experiment import Resolved

COLUMNS = (
    "step",
    "loss",
    "loss_real_dims",
    "lr",
    "grad_norm",
    "samples_per_s",
    "data_wait_s",
    "memory_gib",
    "mfu",
    "val_loss",
    "val_loss_real_dims",
)  # and the loss of each real action dim, loss_dim_<n>


class Metrics:
    """One run's loggers; `step` and `text` (of metrics.csv) are those of the state that it goes on from."""

    def __init__(self, config: Resolved, run_dir: Path, real_dims: int, key: str, step: int, text: str | None):
        self.path = run_dir / "metrics.csv"
        self.columns = [*COLUMNS, *(f"loss_dim_{i}" for i in range(real_dims))]
        self.path.write_text(text or ",".join(self.columns) + "\n")
        self._tensorboard = _tensorboard(run_dir, key, step) if config.logging.tensorboard else None
        self._wandb = _wandb(config, run_dir, key) if config.logging.wandb != "off" else None

    @property
    def text(self) -> str:
        """metrics.csv so far."""
        return self.path.read_text()

    def log(self, step: int, values: dict[str, float]) -> None:
        """Add one row; columns without a value stay empty."""
        line = io.StringIO()
        row = {"step": step} | {name: f"{value:.6g}" for name, value in values.items()}
        csv.DictWriter(line, self.columns, lineterminator="\n").writerow(row)
        with self.path.open("a") as file:
            file.write(line.getvalue())
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb = _attempt(self._wandb, lambda run: run.log(values, step=step))

    def close(self) -> None:
        """Flush what is buffered."""
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            _attempt(self._wandb, lambda run: run.finish())


class NoMetrics:
    """What the processes have that do not write."""

    text = ""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def _tensorboard(run_dir: Path, key: str, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    # a folder a key: another experiment's curve in the same results folder stays a curve of its own
    return SummaryWriter(run_dir / "tensorboard" / key[:12], purge_step=step + 1 if step else None)


def _wandb(config: Resolved, run_dir: Path, key: str) -> Any:
    """The run, or None with a warning: a tracker that cannot be reached never stops training."""

    def start(_: None) -> Any:
        import wandb

        return wandb.init(
            project="pi-sft",
            name=config.name,
            id=f"{config.name}-{key[:12]}".replace("~", "-"),
            resume="allow" if config.logging.wandb == "online" else None,
            mode=config.logging.wandb,
            dir=run_dir,
            config=config.model_dump(mode="json", by_alias=True),
        )

    return _attempt(None, start, result=True)


def _attempt(run: Any, action: Any, result: bool = False) -> Any:
    """`run` (or, with `result`, what the action gives) if wandb works, else None: from then on it is left out."""
    try:
        outcome = action(run)
    except Exception as error:
        print(f"warning: wandb is left out from here on: {' '.join(str(error).split())[:200]}", file=sys.stderr)
        return None
    return outcome if result else run
