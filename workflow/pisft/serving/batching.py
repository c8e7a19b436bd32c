"""Batches inference for many clients in one thread: start from `Batcher(policy, max_batch, max_wait_s)`.

Waiting requests of one observation each are inferred together; a request of a whole group is inferred by itself, so
that its result does not depend on other clients.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from pisft.data.loading.preprocess import Item
from pisft.evaluate.policy import Policy


@dataclass
class Request:
    """Items of B observations, their noise float32 (B, H, A), and the future of their chunks (B, H, d)."""

    items: Sequence[Item]
    noise: np.ndarray
    group: bool
    chunks: Future = field(default_factory=Future)


class Batcher:
    """Infers up to `max_batch` observations together; the first of them waits at most `max_wait_s` for others."""

    def __init__(self, policy: Policy, max_batch: int, max_wait_s: float):
        self.policy, self.max_batch, self.max_wait_s = policy, max_batch, max_wait_s
        self.batches: list[int] = []  # sizes of the last inferences, for benchmarks
        self._waiting: queue.Queue[Request | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item], noise: np.ndarray, group: bool) -> Future:
        """Queue an inference; returns the future of the robot's actions (B, H, d)."""
        request = Request(items, noise, group)
        self._waiting.put(request)
        return request.chunks

    def close(self) -> None:
        """Stop once every submitted request is answered."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        next_one: Request | None = None
        while (first := next_one or self._waiting.get()) is not None:
            batch, next_one, ended = self._with_others(first)
            self._answer(batch)
            if ended:
                return

    def _with_others(self, first: Request) -> tuple[list[Request], Request | None, bool]:
        """Return the requests to infer together, one that must wait for the next inference, and whether to stop."""
        batch = [first]
        until = time.monotonic() + self.max_wait_s
        while not first.group and len(batch) < self.max_batch:
            try:
                other = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if other is None:
                return batch, None, True
            if other.group:
                return batch, other, False
            batch.append(other)
        return batch, None, False

    def _answer(self, batch: Sequence[Request]) -> None:
        batch = [request for request in batch if request.chunks.set_running_or_notify_cancel()]
        if not batch:
            return
        items = [item for request in batch for item in request.items]
        try:
            sampled = self.policy.sample(items, np.concatenate([request.noise for request in batch]))
            actions = [
                self.policy.preprocessor.actions(chunk, item.encoded_state)
                for chunk, item in zip(sampled, items, strict=True)
            ]
        except Exception as error:  # noqa: BLE001  raised where the answer is awaited
            for request in batch:
                request.chunks.set_exception(error)
            return
        self.batches = [*self.batches[-999:], len(items)]
        for request in batch:
            mine, actions = actions[: len(request.items)], actions[len(request.items) :]
            request.chunks.set_result(np.stack(mine))
