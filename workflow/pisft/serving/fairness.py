"""Connections that share the server fairly: start from `FairConnection`.

All of them share one event loop. A connection that sends more frames than any client of a policy needs (small messages,
pings, fragments) is read more slowly, and only a limited number of new connections is accepted each second.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any, cast

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

FRAMES_PER_S = 1000  # for each connection; a client has one message in flight
CONNECTIONS_PER_S = 50  # for all clients together
BURST_S = 1.0  # for which both rates may be exceeded
PENDING = 128  # connections that have not finished their handshake
SLICE = 4096  # bytes parsed at a time, about 700 of the smallest frames


class Bucket:
    """Counts events against a rate; `owed` is the number of seconds until the rate is met again."""

    def __init__(self, rate: float):
        self.rate = rate
        self._paid = -math.inf  # the time at which the events so far are within the rate

    def add(self, count: int, now: float) -> None:
        """Count `count` events at time `now` (s)."""
        self._paid = max(self._paid, now - BURST_S) + count / self.rate

    def owed(self, now: float) -> float:
        """Return the seconds to wait at time `now`; 0 or less if none."""
        return self._paid - now


class Gate:
    """Limits a server's connections: those before their handshake, and new ones each second."""

    def __init__(self) -> None:
        self.pending = 0
        self._rate = Bucket(CONNECTIONS_PER_S)

    def opens(self, now: float) -> bool:
        """Whether one more connection is accepted."""
        if self.pending >= PENDING or self._rate.owed(now) > 0:
            return False
        self._rate.add(1, now)
        return True


class FairConnection(ServerConnection):
    """A connection that is read at most at `FRAMES_PER_S`, and is aborted if the gate is closed."""

    def __init__(self, gate: Gate, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.gate, self.turned_away, self._is_pending = gate, False, False
        self._rate = Bucket(FRAMES_PER_S)
        self._events = 0
        self._held: deque[memoryview] = deque()
        self._waits: set[str] = set()  # reasons why reading is paused
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, or abort it before anything is read."""
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
        """Drop the data that is held."""
        self._settled()
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
        if not self.turned_away:
            super().connection_lost(exc)

    def process_event(self, event: Any) -> None:
        """Count the event, then process it."""
        self._events += 1
        if isinstance(event, Request):
            self._settled()
        super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """Parse the data, as fast as the rate allows."""
        view = memoryview(data)
        self._held.extend(view[start : start + SLICE] for start in range(0, len(view), SLICE))
        if self._timer is None:
            self._feed()

    def eof_received(self) -> None:
        """Drop the data that is held: a peer that has closed waits for no answer."""
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
