"""What there is of every task's data, and how to get the rest, as a table for people."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

from rich.table import Table
from rich.text import Text

from longrange.data.fetch import Source, matches
from longrange.data.module import SequenceDataModule
from longrange.data.progress import readable
from longrange.errors import LongrangeError
from longrange.terminal import table_console


def print_status(tasks: Mapping[str, SequenceDataModule | LongrangeError]) -> None:
    """Print one row for each task. Archives that are there are compared with their checksums.

    Args:
        tasks: by name in configs/data: the task, not prepared; or why it could not be set up.
    """
    table = Table(title="python scripts/prepare_data.py data=<task>", title_justify="left")
    for heading in ("task", "present", "on disk", "from", "checked", "how to get it"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("task", "present"))
    for name, task in tasks.items():
        table.add_row(*map(Text, _row(name, task)))
    table_console().print(table)


def print_failures(failures: Mapping[str, str], prepared: int) -> None:
    """Print which tasks could not be prepared.

    Args:
        failures: by task: why, one line.
        prepared: how many could.
    """
    table = Table(title=f"{prepared} prepared, {len(failures)} not", title_justify="left")
    table.add_column("task", no_wrap=True)
    table.add_column("why", overflow="fold")
    for name, why in failures.items():
        table.add_row(name, Text(why))
    table_console().print(table)


def _row(name: str, task: SequenceDataModule | LongrangeError) -> tuple[str, ...]:
    try:
        if isinstance(task, LongrangeError):
            raise task
        return _facts(name, task)
    except LongrangeError as error:
        return name, "?", "", "", "", str(error)


def _facts(name: str, task: SequenceDataModule) -> tuple[str, ...]:
    if not hasattr(task, "present"):
        return name, "?", "", "", "", f"{type(task).__name__} has no present()"
    there = task.present()
    origin = ", ".join(dict.fromkeys(map(_origin, task.sources))) or "generated"
    checked = ", ".join(sorted({_checked(source, task) for source in task.sources} - {"-"})) or "-"
    return name, "yes" if there else "no", _disk(name, task), origin, checked, "" if there else _how(name, task)


def _origin(source: Source) -> str:
    return (urlparse(source.url).hostname or source.url).removeprefix("www.") if source.url else "by hand"


def _how(name: str, task: SequenceDataModule) -> str:
    if all(source.url for source in task.sources):
        size = sum(source.size or 0 for source in task.sources)
        return f"data={name}{f', downloads {readable(size)}' if size else ''}"
    return "; ".join(source.hint(task.data_dir) for source in task.sources if not source.url)


def _checked(source: Source, task: SequenceDataModule) -> str:
    """Of the archive itself; once unpacked it is not needed and may be gone."""
    path = task.data_dir / source.name
    if source.checksum is None:
        return "no checksum known"
    if not path.is_file():
        return "-"
    algorithm = source.checksum.partition(":")[0]
    if _matches(path, source.checksum):
        return f"{algorithm} right"
    if hasattr(task, "holds_published") and task.holds_published(path):
        return f"{algorithm} right once unpacked"
    return f"{algorithm} of {source.name} WRONG"


@functools.cache
def _matches(path: Path, checksum: str) -> bool:
    """Several tasks are made from one archive, and a large one takes seconds."""
    return matches(path, checksum)


def _disk(name: str, task: SequenceDataModule) -> str:
    """Source files, which several tasks may share, and this task's encoded forms."""
    files, encoded = _size(task.data_dir), sum(map(_size, task.cache_dir.glob(f"{name}-*")))
    return " + ".join(f"{readable(size)}{what}" for size, what in ((files, ""), (encoded, " cache")) if size)


@functools.cache
def _size(folder: Path) -> int:
    """Bytes in a folder, what links in it point to included."""
    folders: set[str] = set()
    total = 0
    for root, inner, files in os.walk(folder, followlinks=True):
        if os.path.realpath(root) in folders:
            inner.clear()  # linked to from within itself
            continue
        folders.add(os.path.realpath(root))
        total += sum(path.stat().st_size for path in map(Path(root).joinpath, files) if path.exists())
    return total
