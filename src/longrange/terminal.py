"""Where tables for people are printed."""

from rich.console import Console

_WIDE = 200  # characters, for one line a row


def table_console() -> Console:
    """Standard output, as wide as the terminal; in a file or a pipe wide enough for one line a row."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, _WIDE))
