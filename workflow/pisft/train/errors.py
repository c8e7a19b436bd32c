"""How a training run ends early: by a fault that a person must mend, or by a request to stop."""

from pisft.errors import PisftError


class TrainingError(PisftError):
    """Training cannot start or go on; the resumable state on disk is as good as it was."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM came: the step was finished and saved, and the same command goes on from there.

    As a KeyboardInterrupt it ends a script with exit code 130, where a fault is 1.
    """
