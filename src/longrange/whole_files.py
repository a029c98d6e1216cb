"""Files that are whole or not there: written under another name, flushed to the disk, renamed."""

import os
import uuid
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that a reader, or a machine that starts again, sees the old one or the new one.

    Args:
        path: the file; its folder is made.
        content: all of it.
    Returns:
        `path`.
    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path, uuid.uuid4().hex)
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    with suppress(OSError):  # some file systems cannot, and need not
        flush(path.parent)
    return path


def draft_of(path: Path, writer: str) -> Path:
    """Where a writer keeps a file before it gets its name; `writer` "*" gives the pattern of all of them."""
    return path.with_name(f".{path.name}.{writer}.partial")


def flush(path: Path) -> None:
    """Ask the system to bring a file, or the names in a folder, to the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
