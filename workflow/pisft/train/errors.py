"""How a training run ends early: by a fault that a person must mend, by a request to stop, or because others ended."""

from __future__ import annotations

import re

from pisft.errors import PisftError

# gloo and NCCL say it in plain RuntimeErrors
LOST = re.compile(r"gloo|NCCL|TCPStore|[Cc]onnection (closed|reset|refused)|Broken pipe|Timed out waiting")


class TrainingError(PisftError):
    """Training cannot start or go on; the resumable state on disk is as good as it was."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM came: the step was finished and saved, and the same command goes on from there.

    As a KeyboardInterrupt it ends a script with exit code 130, where a fault is 1.
    """


def lost_peer(error: BaseException | None) -> bool:
    """Whether `error`, or what it came from, says that another process is gone or silent, not that this one failed."""
    from torch import distributed

    while error is not None:
        causes = getattr(error, "failures", {}).values()  # of a CheckpointException: (exception, traceback) by rank
        if any(lost_peer(cause) for cause, _ in causes):
            return True
        if isinstance(error, distributed.DistError) or (type(error) is RuntimeError and LOST.search(str(error))):
            return True
        error = error.__cause__ or error.__context__
    return False
