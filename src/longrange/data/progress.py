"""The bars that preparations show: what, how far, until when; and sizes for people.

They go to standard error. Where that is no terminal, a bar is a line a minute, and its last state.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import BinaryIO, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Item = TypeVar("Item")
_PAUSE = 60.0  # seconds between the lines of a bar that cannot move


class Bar(Progress):
    """Rich's bars; where there is no terminal, those that have begun are printed once a minute."""

    def __init__(self, *columns: ProgressColumn):
        self._said = monotonic()
        text = TextColumn("{task.description}", markup=False)
        super().__init__(text, BarColumn(), *columns, TimeRemainingColumn(), console=Console(stderr=True))

    def update(self, task_id, **changes) -> None:
        """See `Progress.update`."""
        super().update(task_id, **changes)
        self._say()

    def advance(self, task_id, advance: float = 1) -> None:
        """See `Progress.advance`."""
        super().advance(task_id, advance)
        self._say()

    def _say(self) -> None:
        if not self.console.is_terminal and monotonic() - self._said > _PAUSE:
            self._said = monotonic()
            self.console.print(self.make_tasks_table([task for task in self.tasks if task.started and task.completed]))


def progress_bar() -> Bar:
    """A bar for each task, with the number done, the time that passed and an estimate of the time left."""
    return Bar(MofNCompleteColumn(), TimeElapsedColumn())


def tracked(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items one by one, with a bar under the words of `what`."""
    with progress_bar() as bar:
        yield from bar.track(items, description=what)


@contextmanager
def opened(path: Path, what: str) -> Iterator[BinaryIO]:
    """A file open for reading bytes, with a bar of how far it was read.

    Args:
        path: the file.
        what: words before the bar.
    Raises:
        OSError: it cannot be read.
    """
    with Bar(DownloadColumn()) as bar, bar.open(path, "rb", description=what) as file:
        yield file


@contextmanager
def byte_bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for something counted in bytes.

    Args:
        what: words before the bar.
        total: bytes in all; None where unknown.
    Yields:
        A function to call with the bytes done so far.
    """
    with Bar(DownloadColumn(), TransferSpeedColumn()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def readable(size: float) -> str:
    """A number of bytes for people, in powers of ten: '640 B', '84 MB', '8.2 GB'."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit takes every size")
