"""The log on the terminal."""

import logging
import sys
from typing import TextIO


class ConsoleHandler(logging.StreamHandler):
    """Writes to what `sys.stdout` is at the time: a progress bar takes its place, and puts lines above itself."""

    def __init__(self):
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Standard output, or the progress bar's."""
        return sys.stdout
