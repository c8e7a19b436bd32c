"""SIGINT, SIGTERM and SIGUSR2, SLURM's warning, as a request: a flag that the loop reads between steps.

A second SIGINT or SIGTERM acts at once.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from threading import Event


@contextlib.contextmanager
def stop_requests() -> Iterator[Event]:
    """Inside, the event is set by the first of the signals."""
    requested = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, _: object) -> None:
        requested.set()
        if number != signal.SIGUSR2:  # a warning is followed by SIGTERM, which must not cut the saving short
            signal.signal(signal.SIGINT, before[signal.SIGINT])
            signal.signal(signal.SIGTERM, before[signal.SIGTERM])

    for number in before:
        signal.signal(number, request)
    try:
        yield requested
    finally:
        restore()
