"""Runs simulators in processes of their own. Start from `with Pool(config, workers) as pool`, then `run` or `map`.

A worker is a fresh interpreter (`pisft.simulators.worker`) of the environment that the simulator needs, not a fork or a
multiprocessing child, which would load torch and the parent's main module. The choice of worker affects nothing but
time. A worker that dies, hangs or raises an unexpected exception is replaced, and the caller repeats its work.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, cast

import pisft
from pisft import environments
from pisft.config.simulators import SimulatorConfig
from pisft.simulators import worker as program
from pisft.simulators.base import Failed, SimulatorError

ATTEMPTS = 3  # times that one call is tried, each in a new process


@dataclass
class Worker:
    """A process, the parent's end of its pipe, and the time by which it must answer."""

    pipe: Connection
    process: subprocess.Popen
    deadline: float = inf


class Pool:
    """`workers` processes, as a context manager: leaving it ends them, whatever the reason.

    `replaced` says how each lost worker ended.
    """

    def __init__(self, config: SimulatorConfig, workers: int):
        self.config, self.replaced = config, []
        self._command, self._variables = _program(config)
        self._workers: list[Worker] = []
        try:
            for _ in range(workers):
                self._workers.append(self._start())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def run(
        self, function: Callable, calls: Mapping[int, tuple], again: tuple[Callable, Mapping[int, tuple]] | None = None
    ) -> dict[int, Any]:
        """Call function(simulator, *arguments) for each {slot: arguments}; a slot keeps its simulator between calls.

        A slot whose worker is lost gets the function and arguments of `again` instead, with a new simulator. Workers
        import functions by module and name. Raises errors that a person can fix, and `SimulatorError` if a call loses
        too many workers.
        """
        results: dict[int, Any] = {}
        todo = dict(calls)
        for attempt in range(ATTEMPTS):
            done, lost = self._run_once(function, todo)
            results |= done
            if not lost:
                return results
            function, arguments = again or (function, calls)
            todo = {slot: arguments[slot] for slot in lost}
            if attempt == ATTEMPTS - 1:
                raise self._given_up(*todo.values())
        return results

    def map(self, function: Callable, items: Iterable[tuple]) -> Iterator[tuple[tuple, Any]]:
        """Yield (item, function(simulator, *item)) for each item, in the order of completion."""
        todo = iter(items)
        failed: list[tuple[tuple, int]] = []
        running: dict[int, tuple[tuple, int]] = {}
        idle = list(range(len(self._workers)))
        while True:
            while idle and (next_one := failed.pop() if failed else _first(next(todo, None))) is not None:
                running[idle[-1]] = next_one
                self._send(idle.pop(), (function, [(0, next_one[0])]))
            if not running:
                return
            worker, values = self._receive(running)
            idle.append(worker)
            item, attempts = running.pop(worker)
            if values is not None:
                yield item, values[0]
            elif attempts < ATTEMPTS:
                failed.append((item, attempts + 1))
            else:
                raise self._given_up(item)

    def close(self) -> None:
        """Kill the workers, busy ones too."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
        self._workers = []

    def _run_once(self, function: Callable, calls: Mapping[int, tuple]) -> tuple[dict[int, Any], list[int]]:
        """Return the results, and the slots whose worker was lost."""
        sent: dict[int, list[int]] = {}
        for slot in sorted(calls):
            sent.setdefault(slot % len(self._workers), []).append(slot)
        for worker, slots in sent.items():
            self._send(worker, (function, [(slot, calls[slot]) for slot in slots]))
        results: dict[int, Any] = {}
        lost: list[int] = []
        while sent:
            worker, values = self._receive(sent)
            slots = sent.pop(worker)
            if values is None:
                lost += slots
            else:
                results |= zip(slots, values, strict=True)
        return results, lost

    def _send(self, index: int, message: tuple[Callable, list]) -> None:
        worker = self._workers[index]
        worker.deadline = time.monotonic() + self.config.timeout_s * max(1, len(message[1]))
        with contextlib.suppress(ConnectionError):  # if it is gone, `_receive` notices
            worker.pipe.send(message)

    def _receive(self, indices: Iterable[int]) -> tuple[int, list | None]:
        """Return a worker that has answered, and its values, or None if it was lost and replaced."""
        by_pipe = {self._workers[index].pipe: index for index in indices}
        first = min(self._workers[index].deadline for index in by_pipe.values())
        ready = wait(by_pipe, timeout=max(0.0, first - time.monotonic()))
        if not ready:
            index = min(by_pipe.values(), key=lambda i: self._workers[i].deadline)
            self._workers[index].process.kill()
            self._workers[index].process.wait()
            return index, self._replace(index, f"gave no answer within {self.config.timeout_s:g} s a chunk")
        index = by_pipe[cast(Connection, ready[0])]
        worker = self._workers[index]
        try:
            answer = worker.pipe.recv()
        except (EOFError, ConnectionError):
            code = worker.process.wait()
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return index, self._replace(index, how)
        if isinstance(answer, Failed):
            worker.process.kill()
            worker.process.wait()
            return index, self._replace(index, f"failed: {answer.why}")
        if isinstance(answer, Exception):
            raise answer
        return index, answer

    def _replace(self, index: int, how: str) -> None:
        self.replaced.append(how)
        print(
            f"simulator process {index + 1} of {len(self._workers)} {how}; replaced, its episodes are repeated",
            file=sys.stderr,
            flush=True,
        )
        self._workers[index].pipe.close()
        self._workers[index] = self._start()

    def _given_up(self, *calls: tuple) -> SimulatorError:
        told = (", ".join(str(part) for part in call if isinstance(part, (str, int))) for call in calls)
        return SimulatorError(
            f"{self.config.simulator}: {ATTEMPTS} processes in a row were lost at the same call ({'; '.join(told)}); "
            f"the last one {self.replaced[-1]}; its own message, if any, is above. If memory ran out, use fewer "
            "workers; if a chunk takes that long, raise timeout_s in the simulator's configuration; then run the same "
            "command again, which resumes after the last finished group"
        )

    def _start(self) -> Worker:
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # so that Ctrl-C in the terminal reaches only the parent
                env=self._variables,
            )
        with contextlib.suppress(ConnectionError):
            ours.send(self.config)
        return Worker(ours, process)


PACKAGE = str(Path(pisft.__file__).parents[1])


def _program(config: SimulatorConfig) -> tuple[list[str], dict[str, str]]:
    """Return the worker's command without its last argument, and its variables, for the environment of `config`."""
    if config.environment is None:
        python, variables = sys.executable, dict(os.environ)
    else:
        python, variables = str(environments.python(config.environment)), environments.clean()
    found = [PACKAGE, *filter(None, [variables.get("PYTHONPATH")])]
    return [python, "-m", program.__name__], variables | {"PYTHONPATH": os.pathsep.join(found)}


def _first(item: tuple | None) -> tuple[tuple, int] | None:
    return None if item is None else (item, 1)
