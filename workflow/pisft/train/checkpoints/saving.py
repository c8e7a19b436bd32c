"""Saves training states in the background. Start from `Saver`.

The training step only waits for a copy of the tensors to main memory. A thread writes the copy to disk; it has a
process group of its own, because the training thread's collectives continue meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, distributed

from pisft.train.checkpoints import state as states
from pisft.train.distribution.world import World


class Saver:
    """Saves the training states of one run below `folder`, one at a time. All ranks of `world` make the same calls."""

    def __init__(self, folder: Path, world: World):
        self.folder, self.world = folder, world
        self.group = distributed.new_group(backend="gloo") if world.size > 1 else None
        self.staged: dict[str, Tensor] = {}
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None

    def save(self, step: int, tensors: dict[str, Tensor], notes: dict[str, str], check: Callable[[], None]) -> None:
        """Start `pisft.train.checkpoints.state.save` of the present values of `tensors` in the background.

        Waits for the previous save first, and raises its error if it failed.
        """
        self.wait()
        self.stage(tensors)
        arguments = (self.folder, step, self.staged, notes, check, self.world, self.group)
        self.thread = threading.Thread(target=self._save, args=arguments, daemon=True, name="saving")
        self.thread.start()

    def stage(self, tensors: dict[str, Tensor]) -> None:
        """Copy `tensors`, sharded ones too, to main memory; reuses the previous save's buffers where shapes agree."""
        gpu = self.world.device.type == "cuda"
        before, self.staged = self.staged, {}
        for name, tensor in tensors.items():
            copy = before.get(name)
            if copy is None or copy.shape != tensor.shape:
                copy = torch.empty_like(tensor, device="cpu", pin_memory=gpu, requires_grad=False)
            self.staged[name] = copy.copy_(tensor.detach(), non_blocking=gpu)
        if gpu:
            torch.cuda.current_stream().synchronize()

    def wait(self) -> None:
        """Wait until everything is on disk; raises the background error, if there was one."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        self.check()

    def check(self) -> None:
        """Raise the error of the background thread, if there was one."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def close(self) -> None:
        """Let a single process finish writing; one of several might wait for a rank that is gone."""
        if self.thread is not None and self.world.size == 1:
            self.thread.join()

    def _save(self, *arguments) -> None:
        try:
            states.save(*arguments)
        except BaseException as error:  # noqa: BLE001  raised in the training thread, by `check`
            self.error = error
