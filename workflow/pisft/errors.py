"""The one ancestor of every error that a person can mend: shown as a message, never as a traceback."""


class PisftError(Exception):
    """Its text names the file, the key, what was found, what was expected and what to do."""
