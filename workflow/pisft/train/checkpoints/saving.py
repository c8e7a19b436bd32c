"""Saves training states while training goes on. Start from `Saver`.

What costs the training step is a copy of the tensors in main memory; writing it to disk is a thread's work, with a
process group of its own, since the others' collectives go on meanwhile.
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
    """Writes the states of one run below `folder`, one after the other. All processes of `world` call the same."""

    def __init__(self, folder: Path, world: World):
        self.folder, self.world = folder, world
        self.group = distributed.new_group(backend="gloo") if world.size > 1 else None
        self.staged: dict[str, Tensor] = {}
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None

    def save(self, step: int, tensors: dict[str, Tensor], notes: dict[str, str], check: Callable[[], None]) -> None:
        """`pisft.train.checkpoints.state.save` of `tensors` as they are now, to be done in the background.

        Waits for the save before and raises what it raised.
        """
        self.wait()
        self.stage(tensors)
        arguments = (self.folder, step, self.staged, notes, check, self.world, self.group)
        self.thread = threading.Thread(target=self._save, args=arguments, daemon=True, name="saving")
        self.thread.start()

    def stage(self, tensors: dict[str, Tensor]) -> None:
        """Copy `tensors`, sharded ones too, into main memory: the same as for the save before, where they fit."""
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
        """Until all is on disk; raises what went wrong meanwhile."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        self.check()

    def check(self) -> None:
        """Raise what went wrong in the background, if something has."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def close(self) -> None:
        """Let a single process finish what it writes; one of several might wait for another that is gone."""
        if self.thread is not None and self.world.size == 1:
            self.thread.join()

    def _save(self, *arguments) -> None:
        try:
            states.save(*arguments)
        except BaseException as error:  # the training thread's to raise
            self.error = error
