"""The log on the terminal."""

import logging
import sys
from typing import Literal, TextIO


class ConsoleHandler(logging.StreamHandler):
    """Writes to what `sys.stdout` or `sys.stderr` is at the time.

    A progress bar takes the place of both, and puts lines above itself.

    Args:
        stream: which of the two.
    """

    def __init__(self, stream: Literal["stdout", "stderr"]):
        logging.Handler.__init__(self)
        self._where = stream

    @property
    def stream(self) -> TextIO:
        """Standard output, standard error, or the progress bar's."""
        return getattr(sys, self._where)

    def handleError(self, record: logging.LogRecord) -> None:
        """Let a program end whose output nobody reads any more; say what else was wrong with a record."""
        if isinstance(sys.exception(), BrokenPipeError):
            raise
        super().handleError(record)
