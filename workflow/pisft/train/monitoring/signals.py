"""Turns SIGINT, SIGTERM and SIGUSR2 (SLURM's warning) into a flag that the training loop reads between steps.

A second SIGINT or SIGTERM has its usual effect at once.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from threading import Event


@contextlib.contextmanager
def stop_requests() -> Iterator[Event]:
    """Yield an event that the first of the signals sets."""
    requested = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, _: object) -> None:
        requested.set()
        if number != signal.SIGUSR2:  # SIGTERM follows the warning and must not interrupt saving
            signal.signal(signal.SIGINT, before[signal.SIGINT])
            signal.signal(signal.SIGTERM, before[signal.SIGTERM])

    for number in before:
        signal.signal(number, request)
    try:
        yield requested
    finally:
        restore()
