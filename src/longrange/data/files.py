"""Folders that are made once: by one process at a time, and either whole or not at all."""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from longrange.data import checksums
from longrange.data.checksums import seal
from longrange.data.progress import readable
from longrange.errors import DataError
from longrange.whole_files import flush

log = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, a file beside it; wait where another process holds it.

    Raises:
        DataError: the place beside `folder` cannot be written to.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is preparing %s; waiting for it", folder)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the place of `folder` when the block ends without an error.

    The caller holds `locked(folder)`, so that what an earlier, killed process left half-written can be removed.

    Raises:
        DataError: something cannot be written.
    """
    target = folder.resolve()  # a link to another disk stays a link
    partial = target.with_name(f"{target.name}.partial")
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
            flush(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn the system's errors into one line that names the folder."""
    try:
        yield
    except OSError as error:
        room = "make room or " if error.errno in _FULL else ""
        # Arrow puts words of its own into `strerror`.
        reason = os.strerror(error.errno) if error.errno else error
        raise DataError(f"{folder}: cannot be written ({reason}); {room}choose another place") from error


def ensure_folder(folder: Path, is_readable: Callable[[], bool], make: Callable[[Path], None]) -> None:
    """Make a folder of prepared data unless it is there as it was made; of several processes, one does the work.

    Every byte is compared with its checksum: what has changed since it was prepared is not trained on.

    Args:
        folder: from `cache_folder`.
        is_readable: whether its files are what they should be, where they are as they were made.
        make: fills a new folder with files.
    Raises:
        DataError: a source is at fault, or the folder cannot be written.
    """
    if not _fault(folder, is_readable):
        return
    with locked(folder):
        if not (fault := _fault(folder, is_readable)):
            return
        if folder.exists():
            log.warning("%s: %s; making the prepared data again", folder, fault)
        with whole_folder(folder) as partial:
            make(partial)
            seal(partial)


def _fault(folder: Path, is_readable: Callable[[], bool]) -> str | None:
    return checksums.fault(folder) or (None if is_readable() else "it cannot be read")


@contextmanager
def prepared(folder: Path, task: str) -> Iterator[None]:
    """Turn the errors of opening prepared data into one line that says how to prepare it.

    Raises:
        DataError: a file in `folder` is missing or damaged; `task` is its name in configs/data.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not prepared; run scripts/prepare_data.py data={task}") from error


def is_vacant(folder: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what will not fit.

    Args:
        folder: what will be made; the one above it is there.
        needed: bytes.
    Raises:
        DataError: fewer bytes are free.
    """
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise DataError(
            f"{folder}: needs {readable(needed)}, {readable(free)} are free; make room or choose another place"
        )
