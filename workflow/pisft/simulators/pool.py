"""Simulators in processes of their own. Start from `with Pool(config, workers) as pool`, then `pool.run` or `pool.map`.

A worker is a fresh interpreter (`pisft.simulators.worker`), not a fork or a multiprocessing child: those would take
torch and the parent's main module along. Which worker a call runs in changes nothing but the time that it takes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from pisft.config.simulator import SimulatorConfig
from pisft.simulators import worker as program
from pisft.simulators.base import SimulatorError


class Pool:
    """`workers` processes. A context manager: they are gone when it is left, whatever the reason."""

    def __init__(self, config: SimulatorConfig, workers: int):
        self._workers: list[tuple[Connection, subprocess.Popen]] = []
        try:
            for _ in range(workers):
                self._workers.append(_start(config))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def run(self, function: Callable, calls: Mapping[int, tuple]) -> dict[int, Any]:
        """function(simulator, *arguments) for each {slot: arguments}; a slot keeps its simulator from call to call.

        `function` is found by its module and name in the worker. Exceptions of a worker are raised here.
        """
        sent: dict[int, list[int]] = {}
        for slot in sorted(calls):
            sent.setdefault(slot % len(self._workers), []).append(slot)
        for worker, slots in sent.items():
            self._send(worker, (function, [(slot, calls[slot]) for slot in slots]))
        results: dict[int, Any] = {}
        while sent:
            worker, values = self._receive(sent)
            results |= zip(sent.pop(worker), values, strict=True)
        return results

    def map(self, function: Callable, items: Iterable[tuple]) -> Iterator[tuple[tuple, Any]]:
        """(item, function(simulator, *item)) for each item, in the order in which they are done."""
        todo = iter(items)
        running: dict[int, tuple] = {}
        idle = list(range(len(self._workers)))
        while True:
            while idle and (item := next(todo, None)) is not None:
                running[idle[-1]] = item
                self._send(idle.pop(), (function, [(0, item)]))
            if not running:
                return
            worker, (value,) = self._receive(running)
            idle.append(worker)
            yield running.pop(worker), value

    def close(self) -> None:
        """End the workers, also those that are at work."""
        for pipe, process in self._workers:
            pipe.close()
            process.kill()
        for _, process in self._workers:
            process.wait()
        self._workers = []

    def _send(self, worker: int, message: Any) -> None:
        try:
            self._workers[worker][0].send(message)
        except ConnectionError as error:
            raise self._death(worker) from error

    def _receive(self, workers: Iterable[int]) -> tuple[int, list]:
        ready = wait([self._workers[worker][0] for worker in workers])[0]
        worker = next(i for i, (pipe, _) in enumerate(self._workers) if pipe is ready)
        try:
            answer = ready.recv()
        except (EOFError, ConnectionError) as error:
            raise self._death(worker) from error
        if isinstance(answer, Exception):
            raise answer
        return worker, answer

    def _death(self, worker: int) -> SimulatorError:
        code = self._workers[worker][1].wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return SimulatorError(
            f"simulator process {worker + 1} of {len(self._workers)} {how}; its own message, if any, is above. "
            "If memory ran out, use fewer workers; then run the same command again"
        )


def _start(config: SimulatorConfig) -> tuple[Connection, subprocess.Popen]:
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", program.__name__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,  # a Ctrl-C in the terminal reaches the parent alone
        )
    ours.send(config)
    return ours, process
