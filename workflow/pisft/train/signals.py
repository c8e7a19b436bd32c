"""SIGINT and SIGTERM as a request: a flag that the loop reads between steps. A second signal acts at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from threading import Event


@contextlib.contextmanager
def stop_requests() -> Iterator[Event]:
    """Inside, the event is set by the first SIGINT or SIGTERM."""
    requested = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(*_: object) -> None:
        requested.set()
        restore()

    for number in before:
        signal.signal(number, request)
    try:
        yield requested
    finally:
        restore()
