"""Connections of which none can take the server from the others: start from `FairConnection`.

All of them share one event loop. Who sends more frames than any client of a policy needs (small messages, pings,
fragments) is read more slowly, and of those who connect all the time only so many are let in a second.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any, cast

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

FRAMES_PER_S = 1000  # of a connection; a client has one message under way
CONNECTIONS_PER_S = 50  # of all clients together
BURST_S = 1.0  # for which both may be exceeded
PENDING = 128  # connections before their handshake
SLICE = 4096  # bytes that are taken apart at a time, about 700 of the smallest frames


class Bucket:
    """Counts what happens against a rate; `owed` are the seconds until it is kept again."""

    def __init__(self, rate: float):
        self.rate = rate
        self._paid = -math.inf  # when all that happened so far would have been in time

    def add(self, count: int, now: float) -> None:
        """`count` more at `now` (s)."""
        self._paid = max(self._paid, now - BURST_S) + count / self.rate

    def owed(self, now: float) -> float:
        """Seconds to wait, 0 or less where there is nothing to wait for."""
        return self._paid - now


class Gate:
    """What all connections of a server have in common: how many there are before their handshake, and come a second."""

    def __init__(self) -> None:
        self.pending = 0
        self._rate = Bucket(CONNECTIONS_PER_S)

    def opens(self, now: float) -> bool:
        """Whether one more is let in."""
        if self.pending >= PENDING or self._rate.owed(now) > 0:
            return False
        self._rate.add(1, now)
        return True


class FairConnection(ServerConnection):
    """One that is read no faster than `FRAMES_PER_S`, and not at all where the gate is closed."""

    def __init__(self, gate: Gate, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.gate, self.turned_away, self._is_pending = gate, False, False
        self._rate = Bucket(FRAMES_PER_S)
        self._events = 0
        self._held: deque[memoryview] = deque()
        self._waits: set[str] = set()  # for what reading is paused
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or end it before anything is read."""
        if not self.gate.opens(self.loop.time()):
            self.turned_away = True
            cast(asyncio.Transport, transport).abort()
            return
        self._is_pending = True
        self.gate.pending += 1
        super().connection_made(transport)
        self.recv_messages.pause = lambda: self._pause("queue")
        self.recv_messages.resume = lambda: self._resume("queue")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was held."""
        self._settled()
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
        if not self.turned_away:
            super().connection_lost(exc)

    def process_event(self, event: Any) -> None:
        """Count it."""
        self._events += 1
        if isinstance(event, Request):
            self._settled()
        super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """Take it apart, as fast as the rate allows."""
        view = memoryview(data)
        self._held.extend(view[start : start + SLICE] for start in range(0, len(view), SLICE))
        if self._timer is None:
            self._feed()

    def eof_received(self) -> None:
        """Drop what is held: a peer that has closed waits for no answer."""
        self._held.clear()
        super().eof_received()

    def _feed(self) -> None:
        self._timer = None
        while self._held:
            if self.transport.is_closing():
                self._held.clear()
                return
            now = self.loop.time()
            if (wait := self._rate.owed(now)) > 0:
                self._pause("rate")
                self._timer = self.loop.call_later(wait, self._feed)
                return
            before = self._events
            super().data_received(bytes(self._held.popleft()))
            self._rate.add(self._events - before, now)
        self._resume("rate")

    def _pause(self, reason: str) -> None:
        self._waits.add(reason)
        self.transport.pause_reading()

    def _resume(self, reason: str) -> None:
        self._waits.discard(reason)
        if not self._waits and not self.transport.is_closing():
            self.transport.resume_reading()

    def _settled(self) -> None:
        if self._is_pending:
            self._is_pending = False
            self.gate.pending -= 1
