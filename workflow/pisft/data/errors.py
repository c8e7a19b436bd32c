"""The error for faulty data, with a message that says how to fix it."""

from pisft.errors import PisftError


class DataError(PisftError, ValueError):
    """Names the file, episode, frame or key, what was found, what was expected and what to do."""
