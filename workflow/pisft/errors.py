"""The base class of every error that a person can fix, shown as a message and never as a traceback."""

from pisft.names import printable


class PisftError(Exception):
    """The text names the file, the key, what was found, what was expected and what to do."""

    def __str__(self) -> str:
        return printable(super().__str__())  # quoted text could contain terminal escape sequences
