"""A process that simulates, at the other end of `pisft.simulators.pool`'s pipe: `python -m pisft.simulators.worker FD`.

It answers each request (function, [(slot, arguments), …]) with the values of function(simulator of the slot,
*arguments), or with the exception that it met. It never imports torch, and ends when the pipe does.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections import defaultdict
from multiprocessing.connection import Connection

from pisft.errors import PisftError
from pisft.simulators.base import Simulator, SimulatorError, open_simulator


def main(fd: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    pipe = Connection(fd)
    config = pipe.recv()
    simulators: dict[int, Simulator] = defaultdict(lambda: open_simulator(config))
    while True:
        try:
            function, calls = pipe.recv()
            pipe.send(_answer(function, calls, simulators))
        except (EOFError, ConnectionError):
            return


def _answer(function, calls, simulators) -> list | Exception:
    try:
        return [function(simulators[slot], *arguments) for slot, arguments in calls]
    except (PisftError, OSError) as error:
        return error
    except Exception:
        return SimulatorError(f"a simulator failed:\n{traceback.format_exc()}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
