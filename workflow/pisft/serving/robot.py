"""The loop on the robot's side: observe, ask a server for a chunk, execute it at a fixed rate. Start from `control`.

Commands are limited whatever the policy: each dim's step and velocity are clipped, and the robot is stopped by a late
camera or chunk, a chunk that is not finite, or any other error. It does not replace the robot's own safety functions.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from pisft.errors import PisftError

ACTION_TYPES = ("absolute", "delta")


class RobotError(PisftError):
    """A run cannot begin."""


class Robot(Protocol):
    """The interface that users implement; `position` if and only if the robot takes absolute actions.

    `observe` is called in a thread of its own, always the same one, so that a camera that hangs cannot delay `stop`.
    """

    def position(self) -> np.ndarray:
        """Return the current position, as an action (d,) that would keep the robot there."""
        ...

    def observe(self) -> dict[str, Any]:
        """Return images uint8 (H, W, 3), vectors float32 and `task`, in the keys of the training dataset."""
        ...

    def act(self, action: np.ndarray) -> bool:
        """Send one action (d,), in the dataset's units, within a period; returns whether the task is done."""
        ...

    def stop(self) -> None:
        """Hold still. Called at the end and after any error, perhaps more than once."""


@dataclass(frozen=True)
class Limits:
    """Limits for each dim, or one number for all: `max_step` between two commands, `max_velocity` per second.

    If actions are relative (`action_type` delta), a command is itself a step. None: no limit.
    """

    max_step: Sequence[float] | float | None = None
    max_velocity: Sequence[float] | float | None = None

    def per_step(self, dims: int, hz: float) -> np.ndarray:
        """Return the largest step (dims,) at `hz`; raises `RobotError` for limits of other dims or signs."""
        found = np.full(dims, np.inf)
        for name, limit, scale in (("max_step", self.max_step, 1.0), ("max_velocity", self.max_velocity, 1 / hz)):
            if limit is None:
                continue
            try:
                limit = np.broadcast_to(np.asarray(limit, float), dims)
            except ValueError as error:
                raise RobotError(f"{name}: found {np.size(limit)} numbers; expected one, or {dims}") from error
            if not ((limit > 0) & np.isfinite(limit)).all():
                raise RobotError(f"{name}: found {limit.tolist()}; expected finite numbers above 0")
            found = np.minimum(found, limit * scale)
        return found


@dataclass
class Run:
    """The outcome of `control`: `clipped` counts the limited commands of each dim, `late` the periods that overran."""

    reason: str = ""
    steps: int = 0
    chunks: int = 0
    late: int = 0
    clipped: list[int] = field(default_factory=list)
    infer_ms: list[float] = field(default_factory=list)


def control(
    robot: Robot,
    infer: Callable[[dict[str, Any]], np.ndarray],
    *,
    hz: float,
    execute: int,
    watchdog_s: float,
    max_steps: int,
    limits: Limits,
    action_type: Any,
    dims: int | None,
) -> Run:
    """Run `robot` by `infer`, which returns a chunk (H, d) for an observation, until it is done or for `max_steps`.

    The first `execute` actions of each chunk are executed, one every 1/`hz` s. If an observation and its chunk together
    take longer than `watchdog_s`, the run ends and their late result is discarded. `action_type` and `dims` are what
    the server reports: if the robot's differ, the run is refused before the first command; so is a chunk of other dims
    at any time (None for `dims`: those of the first chunk). The robot is stopped in every case, also after a refusal or
    an exception. Raises `RobotError`.
    """
    run = Run()
    chunks = _Chunks(robot.observe, infer)
    try:
        for name, found in (("hz", hz), ("execute", execute), ("watchdog_s", watchdog_s), ("max_steps", max_steps)):
            if not 0 < found < math.inf:
                raise RobotError(f"{name}: found {found}; expected a number above 0")
        start = _start(robot, action_type, dims, limits)
        known = len(start) if dims is None and start is not None else dims
        if known is not None:
            limits.per_step(known, hz)
        run.reason = _control(run, robot, chunks, hz, execute, watchdog_s, max_steps, limits, action_type, dims, start)
    except KeyboardInterrupt:
        run.reason = "interrupted"
    finally:
        try:
            robot.stop()
        except KeyboardInterrupt:  # a second Ctrl-C interrupted `stop`: call it again
            robot.stop()
        finally:
            chunks.close()
    return run


def _start(robot: Robot, action_type: Any, dims: int | None, limits: Limits) -> np.ndarray | None:
    """Return the robot's position if actions are absolute; raises `RobotError` if the server's do not fit the robot."""
    if action_type not in ACTION_TYPES:
        raise RobotError(f"action_type: the server says {action_type!r}; expected {' or '.join(ACTION_TYPES)}")
    if action_type == "absolute" and not hasattr(robot, "position"):
        if limits == Limits() and getattr(robot, "is_simulated", False):
            return None
        raise RobotError(
            "action_type: the server's actions are absolute; the first one is limited from where the robot is, so its "
            "class needs position()"
        )
    if action_type == "delta" and hasattr(robot, "position"):
        raise RobotError(
            "action_type: the server's actions are changes (delta); a robot with position() takes absolute ones"
        )
    if action_type == "delta":
        return None
    start = np.asarray(robot.position(), np.float32)
    if start.ndim != 1 or not start.size or not np.isfinite(start).all():
        raise RobotError(f"position: found {start.tolist()}; expected finite numbers, one a dim")
    if dims is not None and len(start) != dims:
        raise RobotError(f"action_dims: the server's actions have {dims} dims; the robot's position has {len(start)}")
    return start


def _chunk(answer: Any, dims: int | None) -> np.ndarray | str:
    """Return the answer as float32 (H, dims), or what is wrong with it."""
    try:
        chunk = np.asarray(answer, np.float32)
    except (TypeError, ValueError):
        return f"the answer is not a chunk of numbers but {type(answer).__name__}"
    if chunk.ndim != 2 or not chunk.size:
        return f"the chunk is {chunk.dtype} {list(chunk.shape)}; expected (actions, dims)"
    if dims is not None and chunk.shape[1] != dims:
        return f"the chunk has {chunk.shape[1]} dims; expected {dims}"
    return chunk if np.isfinite(chunk).all() else "the chunk is not finite"


class _Chunks:
    """Observes and infers on request, in a daemon thread: if it hangs, the process can still exit."""

    def __init__(self, observe: Callable[[], dict[str, Any]], infer: Callable[[dict[str, Any]], np.ndarray]):
        self._observe, self._infer = observe, infer
        self._asked: queue.SimpleQueue[Future | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="observe and infer", daemon=True).start()

    def ask(self) -> Future:
        """Request a chunk (H, d) for an observation made from now on; returns its future."""
        chunk: Future = Future()
        self._asked.put(chunk)
        return chunk

    def close(self) -> None:
        """Stop; an observation in progress is not inferred either."""
        self._closed.set()
        self._asked.put(None)

    def _run(self) -> None:
        while (chunk := self._asked.get()) is not None:
            try:
                observation = self._observe()
                if self._closed.is_set():
                    return
                chunk.set_result(self._infer(observation))
            except BaseException as error:  # noqa: BLE001  raised in the caller's thread
                chunk.set_exception(error)


def _control(
    run: Run,
    robot: Robot,
    chunks: _Chunks,
    hz: float,
    execute: int,
    watchdog_s: float,
    max_steps: int,
    limits: Limits,
    action_type: str,
    dims: int | None,
    last: np.ndarray | None,
) -> str:
    dims = len(last) if dims is None and last is not None else dims
    while run.steps < max_steps:
        asked = time.monotonic()
        awaited = chunks.ask()
        if wait([awaited], watchdog_s).not_done:
            return f"the watchdog stopped the robot: no observation and chunk within {watchdog_s:g} s"
        chunk = _chunk(awaited.result(), dims)
        run.chunks += 1
        run.infer_ms.append(1000 * (time.monotonic() - asked))
        if isinstance(chunk, str):
            return f"stopped: {chunk}"
        dims = chunk.shape[1]
        if not run.clipped:
            run.clipped = [0] * chunk.shape[1]
        largest = limits.per_step(chunk.shape[1], hz)
        due = time.monotonic()
        for action in chunk[:execute][: max_steps - run.steps]:
            anchor = np.zeros_like(action) if action_type == "delta" else action if last is None else last
            command = np.clip(action, anchor - largest, anchor + largest).astype(np.float32)
            run.clipped = [count + int(c) for count, c in zip(run.clipped, command != action, strict=True)]
            done = robot.act(command)
            last = command
            run.steps += 1
            if done:
                return "done"
            due += 1 / hz
            left = due - time.monotonic()
            if left > 0:
                time.sleep(left)
            else:
                run.late += 1
                due = time.monotonic()  # do not catch up by shorter periods
    return "the most steps were reached"
