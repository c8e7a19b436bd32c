"""Trains one experiment from wherever it stands to its checkpoint, in one process. Start from `train`.

The step itself never waits for the device: losses and norms gather in `history`, on the device, and are read only where
a row is logged or the state is saved. `history` is also what finds the first step that was not finite.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from pisft.config.experiment import Resolved
from pisft.config.model import BaseWeights
from pisft.model import Pi0, load_weights
from pisft.model.runtime import configure
from pisft.train import corpus as corpora
from pisft.train import state as states
from pisft.train.base import base_path
from pisft.train.batches import Batch, Batches
from pisft.train.diagnose import nonfinite
from pisft.train.errors import Interrupted
from pisft.train.lease import held
from pisft.train.metrics import Metrics
from pisft.train.objective import flow_losses
from pisft.train.optim import Optimizer, learning_rate
from pisft.train.publish import publish
from pisft.train.signals import stop_requests
from pisft.train.validate import Validation

LAST = 100  # updates whose mean loss checkpoint.json tells


def train(config: Resolved, run_dir: Path, data_root: Path, key: str) -> list[Path]:
    """Train `config` in `run_dir`, which holds config.json and norm_stats.json; the files of the checkpoint.

    The datasets lie in `data_root`/<dataset>/lerobot. `key`, a hash, stands for all that the result depends on: a state
    with the same key is gone on from. Raises `Interrupted` after SIGINT or SIGTERM.
    """
    device = configure()
    with held(run_dir / "train_state") as check:
        trainer = Trainer(config, run_dir, data_root, key, device)
        with stop_requests() as stop:
            trainer.run(stop.is_set, check)
        return trainer.publish()


def build_model(config: Resolved, device: torch.device) -> Pi0:
    """The model with its base weights, or those of `train.seed`."""
    torch.manual_seed(config.train.seed)
    model = Pi0(config.model)
    if isinstance(config.model.base, BaseWeights):
        load_weights(model, base_path(config.model.base))
    if not config.format.cameras:
        # a blind policy's eyes get no gradient
        model.vision.requires_grad_(False)
        model.projector.requires_grad_(False)
    return model.float().to(device).train()


class Trainer:
    """One run: its data, model, optimiser and place on disk. `step` counts the updates done."""

    def __init__(self, config: Resolved, run_dir: Path, data_root: Path, key: str, device: torch.device):
        self.config, self.run_dir, self.key, self.device = config, run_dir, key, device
        self.corpus = corpora.load(config, run_dir, data_root)
        self.batches = Batches(config, self.corpus.training, self.corpus.weights, self.device)
        self.model = build_model(config, self.device)
        self.optimizer = Optimizer(self.model, config.train)
        self.validation = Validation(config, self.corpus, self.device)
        self.history = torch.zeros(config.train.steps, 3, device=self.device)  # loss, loss_real_dims, grad_norm
        self.folder = run_dir / "train_state" / key[:16]
        saved = states.latest(self.folder)
        self.step = states.load(saved, self.tensors()) if saved else 0
        self.saved_metrics = (saved / "metrics.csv").read_text() if saved else None
        self.validated: dict[str, float] = {}  # at `step`, where it was

    def tensors(self) -> dict[str, Tensor]:
        """All that changes while training."""
        return self.optimizer.tensors() | {"history": self.history}

    def run(self, stop, check) -> None:
        """Train to the end; `stop()` asks to end after this step, `check()` raises if the lease was lost."""
        train = self.config.train
        metrics = Metrics(self.config, self.run_dir, self.key, self.step, self.saved_metrics)
        bar = tqdm(
            total=train.steps,
            initial=self.step,
            desc=self.config.name,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
        )
        timer = Timer()
        batches = timer.waiting(self.batches.ahead(self.step, train.steps))
        try:
            for micro_batches in batches:
                self.history[self.step] = self.update(micro_batches)
                self.step += 1
                timer.samples += train.global_batch_size
                bar.update()
                last, stopping = self.step == train.steps, stop()
                validating = last or self.step % train.validate_every == 0
                if validating or self.step % train.log_every == 0:
                    row = self.row() | timer.rates()
                    bar.set_postfix(loss=f"{row['loss']:.4f}")
                    self.validated = self.validate() if validating else {}
                    metrics.log(self.step, row | self.validated)
                    timer.restart()
                if last or stopping or self.step % train.save_every == 0:
                    self.check_finite()
                    states.save(self.folder, self.step, self.tensors(), {"metrics.csv": metrics.text}, check)
                    timer.restart()
                if stopping and not last:
                    raise Interrupted(f"{self.config.name}: step {self.step} is saved")
        finally:
            batches.close()
            bar.close()
            metrics.close()

    def update(self, micro_batches: list[Batch]) -> Tensor:
        """One step: (loss, loss_real_dims, grad_norm), a tensor (3,) on the device."""
        losses = torch.zeros(2, device=self.device)
        for batch in micro_batches:
            share = len(batch) / self.config.train.global_batch_size
            loss, real = flow_losses(self.model, batch, self.corpus.real_dims, self.config.train.precision)
            (loss * share).backward()
            losses += torch.stack([loss.detach(), real]) * share
        norm = self.optimizer.update(self.step, losses[0])
        return torch.cat([losses, norm[None]])

    def row(self) -> dict[str, float]:
        """Means since the row before; raises `TrainingError` where one is not finite."""
        self.check_finite()
        train, done = self.config.train, self.step - 1
        before = max(done // every * every for every in (train.log_every, train.validate_every))
        loss, real, norm = self.history[before : self.step].mean(0).tolist()
        return {
            "loss": loss,
            "loss_real_dims": real,
            "lr": learning_rate(done, train),
            "grad_norm": norm,
        }

    def check_finite(self) -> None:
        """Raise `TrainingError` naming the first step that was not finite, and what it was trained on."""
        bad = ~torch.isfinite(self.history[: self.step]).all(1)
        if bad.any():
            step = int(bad.nonzero()[0])
            raise nonfinite(self.corpus, self.batches.indices(step), step, self.history[step].tolist(), self.folder)

    def validate(self) -> dict[str, float]:
        """The held-out losses of the weights that are published."""
        with self.optimizer.averaged():
            return self.validation(self.model)

    def publish(self) -> list[Path]:
        """Write the checkpoint from the averaged weights, or the plain ones where there are none."""
        validated = self.validated or self.validate()
        facts = {
            "key": self.key,
            "step": self.step,
            "train_loss": self.history[-LAST:, 0].double().mean().item(),
            "val_loss": validated["val_loss"],
        }
        with self.optimizer.averaged():
            return publish(self.run_dir, self.model, self.config, facts)


class Timer:
    """Samples a second, and the seconds of them that the device stood waiting for data."""

    def __init__(self):
        self.restart()

    def restart(self) -> None:
        """Begin a new stretch; what validating and saving took is in none."""
        self.start, self.waited, self.samples = time.perf_counter(), 0.0, 0

    def waiting(self, batches):
        """The same batches, the wait for each counted."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def rates(self) -> dict[str, float]:
        """Of the stretch so far."""
        return {
            "samples_per_s": self.samples / (time.perf_counter() - self.start),
            "data_wait_s": self.waited,
        }
