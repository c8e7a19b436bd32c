"""Trains one experiment from its latest training state to its checkpoint. Start from `train`.

The step never waits for the device: losses and gradient norms collect in `history`, on the device, and are read only
when a row is logged or the training state is saved. `history` also tells which step was the first with a non-finite
value.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from pisft.canonical import read_json
from pisft.config.experiment import Resolved
from pisft.config.site import Site
from pisft.lease import PATIENCE_S, held
from pisft.train import estimate
from pisft.train.checkpoints import state as states
from pisft.train.checkpoints.files import checkpoint_files, is_complete, state_folder
from pisft.train.checkpoints.promote import promote, write_checkpoint
from pisft.train.checkpoints.saving import Saver
from pisft.train.distribution.launch import launch
from pisft.train.distribution.parallel import build, exchange
from pisft.train.distribution.world import Vote, World
from pisft.train.errors import Interrupted, TrainingError
from pisft.train.monitoring.diagnose import nonfinite
from pisft.train.monitoring.metrics import COLUMNS, Metrics, NoMetrics
from pisft.train.monitoring.rates import Rates
from pisft.train.monitoring.signals import stop_requests
from pisft.train.monitoring.trace import Trace
from pisft.train.step import corpus as corpora
from pisft.train.step.batches import Batch, Batches
from pisft.train.step.objective import flow_losses
from pisft.train.step.optim import Optimizer, learning_rate
from pisft.train.step.validate import Validation

LAST = 100  # updates at the end, whose mean loss is `train_loss` of checkpoint.json


def train(
    config: Resolved,
    run_dir: Path,
    data_root: Path,
    key: str,
    fingerprint: str | None = None,
    site: Site | None = None,
    launcher: str = "local",
) -> list[Path]:
    """Train `config` in `run_dir`, which holds config.json and norm_stats.json; returns the files of the checkpoint.

    The datasets are in `data_root`/<dataset>/lerobot. `key` is a hash of everything that the checkpoint depends on,
    `fingerprint` of everything that the course of training depends on: a training state with the same fingerprint is
    resumed. `launcher` is that of `launch`. Raises `Interrupted` after SIGINT, SIGTERM or SIGUSR2.
    """
    site = site or Site()
    if not is_complete(run_dir, key, thorough=True):
        arguments = (config, run_dir, data_root, key, fingerprint or key, site.disk)
        launch(train_process, arguments, config.cluster, config.train, launcher, site.train.timeout_s)
    return checkpoint_files(run_dir)


def train_process(
    world: World,
    config: Resolved,
    run_dir: Path,
    data_root: Path,
    key: str,
    fingerprint: str,
    local_disk: Path | None = None,
) -> None:
    """Train in one process of the run; rank 0 holds the lease on `run_dir`."""
    lease = held(run_dir / "train_state/lease.json", PATIENCE_S) if world.lead else contextlib.nullcontext(lambda: None)
    with lease as check, stop_requests() as stop:
        trainer = Trainer(config, run_dir, data_root, fingerprint, world, local_disk)
        trainer.run(stop.is_set, check)
        trainer.promote(key)


class Trainer:
    """One run: its data, model, optimiser and folders. `step` counts the updates done."""

    def __init__(
        self,
        config: Resolved,
        run_dir: Path,
        data_root: Path,
        fingerprint: str,
        world: World,
        local_disk: Path | None = None,
    ):
        self.config, self.run_dir, self.fingerprint, self.world = config, run_dir, fingerprint, world
        if world.lead and (warning := config.split.without_validation):
            print(f"{config.name}: {warning}", file=sys.stderr)
        estimate.check(config, run_dir, world)
        self.corpus = corpora.load(config, run_dir, data_root, local_disk, verify=world.lead)
        self.batches = Batches(config, self.corpus.training, self.corpus.weights, world)
        self.model = build(config, data_root.parent, world)
        self.optimizer = Optimizer(self.model, config.train)
        self.validation = Validation(config, self.corpus, world)
        # loss, loss_real_dims, grad_norm, and the loss of each real dim
        self.history = torch.zeros(config.train.steps, 3 + self.corpus.real_dims, device=world.device)
        self.folder = state_folder(run_dir, fingerprint)
        self.saver = Saver(self.folder, world)
        self.step, self.tables = 0, None
        self.val_losses: dict[str, float] = {}  # by step
        if saved := states.latest(self.folder, config.train.steps):
            self.step = states.step_of(saved)
            states.load(saved, self.tensors())
            self.tables = {name: (saved / name).read_text() for name in COLUMNS}
            self.val_losses = read_json(saved / "val_losses.json", TrainingError)
            if world.lead:
                print(f"{config.name}: resumes from step {self.step} of {config.train.steps}", file=sys.stderr)
        elif world.lead and (others := states.elsewhere(self.folder)):
            print(
                f"{config.name}: starts from step 0. The training states of another configuration, code or data are "
                f"left in {', '.join(map(str, others))}: undo the change to resume from them, or remove them",
                file=sys.stderr,
            )

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor that changes during training, by name."""
        return self.optimizer.tensors() | {"history": self.history[: self.step]}

    def run(self, stop, check) -> None:
        """Train to the last step; `stop()` tells to stop after this step, `check()` raises if the lease was lost."""
        train, lead = self.config.train, self.world.lead
        metrics = self.metrics() if lead else NoMetrics()
        trace = Trace(self.config.logging.profile_steps, self.run_dir / "trace", self.world)
        vote = Vote(self.world)
        bar = tqdm(
            total=train.steps,
            initial=self.step,
            desc=self.config.name,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            disable=not lead,
        )
        rates = Rates(self.config, self.model, self.world)
        batches = rates.waiting(self.batches.ahead(self.step, train.steps))
        try:
            for micro_batches in batches:
                with trace.step(self.step):
                    self.history[self.step] = self.update(micro_batches)
                self.step += 1
                self.saver.check()
                rates.count(micro_batches)
                bar.update()
                last, stopping = self.step == train.steps, vote(stop())
                keeping = train.keep_every is not None and self.step % train.keep_every == 0
                validating = last or keeping or self.step % train.validate_every == 0
                if validating or self.step % train.log_every == 0:
                    row = self.row() | rates.read()
                    bar.set_postfix(loss=f"{row['loss']:.4f}", samples_per_s=f"{row['samples_per_s']:.3g}")
                    metrics.log(self.step, row | (self.validate() if validating else {}))
                    rates.restart()
                if keeping:
                    self.write_weights(self.weights_at(self.step))
                if last or stopping or self.step % train.save_every == 0:
                    self.check_finite()
                    self.corpus.check(wait=True)  # never save a state that was trained on damaged frame stores
                    self.save(metrics.tables, check)
                    if last or stopping:
                        self.saver.wait()
                    rates.restart()
                if stopping and not last:
                    raise Interrupted(f"{self.config.name}: step {self.step} is saved")
            vote.settle()
        finally:
            self.saver.close()
            batches.close()
            bar.close()
            metrics.close()

    def metrics(self) -> Metrics:
        """Return the loggers, starting at the current step."""
        dims = self.corpus.real_dims
        return Metrics(self.config, self.run_dir, self.folder, dims, self.fingerprint, self.step, self.tables)

    def update(self, micro_batches: list[Batch]) -> Tensor:
        """Do one training step; returns its row of `history`, on the device."""
        world, train = self.world, self.config.train
        row = torch.zeros(self.history.shape[1], device=world.device)
        for i, batch in enumerate(micro_batches, 1):
            exchange(self.model, last=i == len(micro_batches))
            share = len(batch) / train.global_batch_size
            loss, dims = flow_losses(self.model, batch, self.corpus.real_dims, train.precision)
            # FSDP averages gradients over the ranks; times `world.size`, the average is the sum
            (loss * (share * world.size)).backward()
            row += torch.cat([loss.detach()[None], dims.mean()[None], loss.new_zeros(1), dims]) * share
        world.sum(row)
        row[2] = self.optimizer.update(self.step, row[0])
        return row

    def row(self) -> dict[str, float]:
        """Return the means since the previous row; raises `TrainingError` if a value is not finite."""
        self.check_finite()
        train, done = self.config.train, self.step - 1
        every = (train.log_every, train.validate_every, train.keep_every)
        before = max(done // n * n for n in every if n is not None)
        loss, real, norm, *dims = self.history[before : self.step].mean(0).tolist()
        return {
            "loss": loss,
            "loss_real_dims": real,
            "lr": learning_rate(done, train),
            "grad_norm": norm,
        } | {f"loss_dim_{i}": dim for i, dim in enumerate(dims)}

    def check_finite(self) -> None:
        """Raise `TrainingError` that names the first step with a non-finite value, and the frames it was trained on."""
        bad = ~torch.isfinite(self.history[: self.step]).all(1)
        if bad.any():
            step = int(bad.nonzero()[0])
            raise nonfinite(self.corpus, self.batches.indices(step), step, self.history[step].tolist(), self.folder)

    def validate(self) -> dict[str, float]:
        """Return the held-out losses, if any, of the averaged weights; saves the best weights if those are chosen."""
        with self.optimizer.averaged():
            validated = self.validation(self.model)
        if not validated:
            return validated
        loss = validated["val_loss"]
        if self.config.eval.checkpoint == "best" and loss < min(self.val_losses.values(), default=float("inf")):
            self.write_weights(self.folder / "best")
        self.val_losses[str(self.step)] = loss
        return validated

    def save(self, tables: dict[str, str], check) -> None:
        """Save the training state of this step in the background."""
        notes = tables | {"val_losses.json": json.dumps(self.val_losses)}
        self.saver.save(self.step, self.tensors(), notes, check)

    def weights_at(self, step: int) -> Path:
        """Return the folder of the weights saved at `step`."""
        return self.folder / "kept" / f"step_{step}"

    def write_weights(self, folder: Path) -> None:
        """Write the averaged weights, or the plain ones if there is no average, to `folder`."""
        with self.optimizer.averaged():
            write_checkpoint(folder, self.model, self.config, self.run_dir / "norm_stats.json", self.world.lead)

    def promote(self, key: str) -> None:
        """Promote the weights that `eval.checkpoint` chooses to the run's checkpoint."""
        chosen, steps = self.config.eval.checkpoint, self.config.train.steps
        if str(steps) not in self.val_losses:
            self.validate()
        if chosen == "best":
            step, folder = min(self.val_losses, key=self.val_losses.__getitem__), self.folder / "best"
        elif chosen in ("last", steps):
            step, folder = steps, self.folder / "last"
            self.write_weights(folder)
        else:
            step, folder = chosen, self.weights_at(chosen)
            if not folder.is_dir():
                raise TrainingError(
                    f"eval.checkpoint: found {chosen}; {folder} is not there, since train.keep_every saved other "
                    f"steps when this was trained: choose another step, or remove {self.folder} to train again"
                )
        self.corpus.check(wait=True)
        if self.world.lead:
            promote(
                self.run_dir,
                folder,
                [self.folder / name for name in COLUMNS],
                key=key,
                step=int(step),
                val_loss=self.val_losses.get(str(step)),
                train_loss=self.history[-LAST:, 0].double().mean().item() if steps else None,
            )
            shutil.rmtree(self.folder / "last", ignore_errors=True)
        self.world.barrier()
