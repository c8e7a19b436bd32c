"""What is wrong with the data, told so that a person can mend it."""

from pisft.errors import PisftError


class DataError(PisftError, ValueError):
    """Names the file, episode, frame or key, what was found, what was expected and what to do."""
