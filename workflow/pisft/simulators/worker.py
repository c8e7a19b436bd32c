"""A simulator process at the other end of `pisft.simulators.pool`'s pipe: `python -m pisft.simulators.worker FD`.

It answers each request (function, [(slot, arguments), …]) with the values of function(simulator of the slot,
*arguments), or with an error that a person can fix. Any other exception it reports and then exits; it also exits when
the pipe closes. It never imports torch.
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections import defaultdict
from multiprocessing.connection import Connection

from pisft.errors import PisftError
from pisft.process import end_with_parent
from pisft.simulators.base import Failed, Simulator, open_simulator

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(fd: int) -> None:
    """Answer calls that come through the pipe `fd` until it closes, or a simulator raises an unexpected error.

    The pipe brings the configuration, then (function, calls); each call has a simulator of the slot that it names.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    pipe = Connection(fd)
    config = pipe.recv()
    simulators: dict[int, Simulator] = defaultdict(lambda: open_simulator(config))
    while True:
        try:
            function, calls = pipe.recv()
            answer = _answer(function, calls, simulators)
            pipe.send(answer)
        except (EOFError, ConnectionError):
            return
        if isinstance(answer, Failed):
            return  # the state of its simulators is unknown


def _answer(function, calls, simulators) -> list | PisftError | OSError | Failed:
    try:
        return [function(simulators[slot], *arguments) for slot, arguments in calls]
    except Exception as error:  # noqa: BLE001  whatever a simulator raises is reported to the parent
        if isinstance(error, PisftError) or (isinstance(error, OSError) and error.errno in FULL):
            return error  # for a person to fix: another process would fail in the same way
        traceback.print_exc()
        return Failed(traceback.format_exception_only(error)[-1].strip())


if __name__ == "__main__":
    main(int(sys.argv[1]))
