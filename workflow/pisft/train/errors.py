"""The ways a training run ends early: an error for a person to fix, a request to stop, the loss of another process."""

from __future__ import annotations

import re

from pisft.errors import PisftError

# gloo and NCCL report a lost peer as a plain RuntimeError
LOST = re.compile(r"gloo|NCCL|TCPStore|[Cc]onnection (closed|reset|refused)|Broken pipe|Timed out waiting")


class TrainingError(PisftError):
    """Training cannot start or continue; the training states on disk are intact."""


class Interrupted(KeyboardInterrupt):
    """A signal was received: the current step was finished and saved, and the same command resumes there.

    The signals are SIGINT, SIGTERM and SIGUSR2. As a KeyboardInterrupt it ends a script with exit code 130; an error
    ends it with 1.
    """


def lost_peer(error: BaseException | None) -> bool:
    """Whether `error` or one of its causes says that another process is gone or silent, not that this one failed."""
    from torch import distributed

    while error is not None:
        causes = getattr(error, "failures", {}).values()  # of a CheckpointException: (exception, traceback) by rank
        if any(lost_peer(cause) for cause, _ in causes):
            return True
        if isinstance(error, distributed.DistError) or (type(error) is RuntimeError and LOST.search(str(error))):
            return True
        error = error.__cause__ or error.__context__
    return False
