"""The files of a run, which has one writer: whole or not there, and with a second name where one is needed."""

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from longrange import whole_files
from longrange.errors import CheckpointError
from longrange.whole_files import draft_of


def write_whole(path: Path, content: bytes) -> None:
    """`whole_files.write_whole`, whose trouble ends a training with a line that says how to go on.

    Args:
        path: the file; its folder is made.
        content: all of it.
    Raises:
        CheckpointError: it cannot be written; what was there is as it was.
    """
    try:
        whole_files.write_whole(path, content)
    except OSError as problem:
        raise CheckpointError(
            f"{path}: cannot be written ({problem.strerror or problem}); what was written before is as it was: "
            "mend that and go on from there with resume=auto"
        ) from problem


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Within it, no other process on this file system writes a run into the folder; a killed one blocks nobody.

    What a killed one had half-written is removed.

    Raises:
        CheckpointError: another process does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise CheckpointError(
            f"{folder}: another training is writing here; wait for its end, or leave resume=... out to get a "
            "folder of its own"
        ) from None
    try:
        for draft in folder.rglob(draft_of(Path("*"), "*").name):
            draft.unlink()
        yield
    finally:
        lock.release()


def keep_previous(path: Path, previous: Path) -> None:
    """Give a file, if it is there, a second name that stays with its content when `path` is written anew.

    Where the file system knows no second names, the file only has the other one until then.
    """
    if not path.exists():
        return
    draft = draft_of(previous, "link")
    with suppress(OSError):
        draft.unlink()
    try:
        os.link(path, draft)
    except OSError:
        draft = path
    os.replace(draft, previous)


class DurableIO(TorchCheckpointIO):
    """Lightning's way to the disk for checkpoints: see `write_whole`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointError: it cannot be written; the one that was there is as it was.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(Path(path), content.getvalue())


def damaged_part(path: Path) -> str | None:
    """The first part of a checkpoint whose checksum is wrong, which torch would load; None where all are right.

    Raises:
        zipfile.BadZipFile, OSError: the file is no archive, or cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()
