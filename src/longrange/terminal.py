"""What is printed for people: where tables go, and what happens when nobody reads on."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

EXIT_UNREAD = 141  # as a shell counts a program that SIGPIPE ends

_WIDE = 200  # characters, for one line a row


def table_console() -> Console:
    """Standard output, as wide as the terminal; in a file or a pipe wide enough for one line a row."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, _WIDE))


def is_unread(error: BaseException) -> bool:
    """Whether an error comes of what reads this program's output, as `head` does, having enough of it.

    Rich makes SystemExit of it. The pipe to another process breaks in the same way, but then the output is open.
    """
    if isinstance(error, SystemExit):
        return isinstance(error.__context__, BrokenPipeError) and not error.__suppress_context__
    return isinstance(error, BrokenPipeError) and _output_is_closed()


def _output_is_closed() -> bool:
    watched = select.poll()
    for number in (1, 2):
        watched.register(number, 0)  # errors are told of unasked
    return any(event & select.POLLERR for _, event in watched.poll(0))


@contextmanager
def unread_ends_it() -> Iterator[None]:
    """Within it, a program whose output is read in part ends like any other: without a word, with code 141."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        if not is_unread(error):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where Python writes what is left when it ends
        sys.exit(EXIT_UNREAD)
