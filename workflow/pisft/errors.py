"""The one ancestor of every error that a person can mend: shown as a message, never as a traceback."""

from pisft.names import printable


class PisftError(Exception):
    """Its text names the file, the key, what was found, what was expected and what to do."""

    def __str__(self) -> str:
        return printable(super().__str__())  # it quotes what others wrote, which no terminal shall obey
