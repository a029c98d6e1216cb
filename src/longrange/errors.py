"""Errors that a user can mend: each message says what is wrong, where, and what to do, in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class LongrangeError(Exception):
    """Base of every error that longrange raises on purpose; the command line prints it as one line."""


class ConfigError(LongrangeError):
    """A configuration that names something unknown or sets an impossible value."""


class DataError(LongrangeError):
    """A data file or cache that is missing, damaged or not what it should be."""


class CheckpointError(LongrangeError):
    """A checkpoint that is missing, damaged or belongs to another model."""


class DivergedError(LongrangeError):
    """A training whose loss or parameters are no longer finite."""


class StoppedError(LongrangeError):
    """A training that was told to stop, by Ctrl-C or by a cluster that takes the machine away, and can go on.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int, what: str):
        super().__init__(what)
        self.number = number


def nearest(name: str, valid: Iterable[str], count: int = 3) -> list[str]:
    """The valid names closest in spelling to `name`, best first; the first few where none is close.

    Args:
        name: what the user typed.
        valid: every name that would have been right.
        count: how many names to return at most.
    """
    known = sorted(valid)
    return get_close_matches(name, known, n=count, cutoff=0.4) or known[:count]
