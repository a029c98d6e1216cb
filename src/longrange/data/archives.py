"""Archives as untrusted input: nothing is written outside the folder, and no more than a stated amount.

Only files and folders are unpacked. Links and devices are refused, whatever they point to: no published data set needs
them, and the checks that would allow some have been bypassed before. What is written is listed with its checksums
beside it, as `<archive>.xxh128`.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path, PurePosixPath

import xxhash

from longrange.data.archive_members import Member, members
from longrange.data.checksums import ENDING, write_list
from longrange.data.fetch import Source, fetch
from longrange.data.files import locked, writing
from longrange.data.progress import readable
from longrange.errors import DataError

# Where files wait until all are there, on the disk where they belong. While it is there, some are not in their place.
_PARTIAL = "unpacking.partial"


def unpack(
    archive: Path,
    folder: Path,
    chosen: Sequence[str] | None = None,
    *,
    max_bytes: int = 64 * 10**9,
    max_files: int = 5_000_000,
) -> None:
    """Unpack a tar file (plain or compressed with gzip) or a zip file.

    The caller holds `locked(folder)`. The files appear when all of them are written; what else is there stays.

    Args:
        archive: the file.
        folder: what its names are relative to.
        chosen: files or folders in the archive to unpack; everything where None.
        max_bytes: how much may be unpacked; never more than is free on the disk.
        max_files: how many files and folders may be unpacked.

    Raises:
        DataError: the archive is damaged, holds something that is refused or none of `chosen`; the folder cannot be
            written.
    """
    partial = folder / _PARTIAL
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _write_all(archive, partial, chosen, _Budget(archive, max_bytes, max_files, folder))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            with suppress(OSError):
                folder.rmdir()  # where nothing else is in it
            raise
        _move(partial, folder)


def ensure_unpacked(
    source: Source, folder: Path, present: Callable[[], bool], chosen: Sequence[str] | None = None, **options
) -> None:
    """Fetch an archive into a folder and unpack it there, unless that has been done; one process does the work.

    Args:
        source: the archive.
        folder: where it belongs, and where it is unpacked.
        present: whether the unpacked files are there.
        chosen: as in `unpack`.
        options: as in `fetch`.

    Raises:
        DataError: as in `fetch` and `unpack`.
    """

    def done() -> bool:
        # Where a process was stopped while it moved files to their place, some of them are there.
        return present() and not (folder / _PARTIAL).exists()

    if done():
        return
    with locked(folder):
        if not done():
            unpack(fetch(source, folder, **options), folder, chosen)


def _write_all(archive: Path, target: Path, chosen: Sequence[str] | None, budget: "_Budget") -> None:
    wanted = None if chosen is None else [PurePosixPath(name).parts for name in chosen]
    written = {}
    with closing(members(archive, "unpacking")) as found:
        for member in found:
            parts = member.parts(archive)
            if parts and (wanted is None or any(parts[: len(one)] == one for one in wanted)):
                budget.add_file()
                if checksum := _write(archive, member, target.joinpath(*parts), budget):
                    written["/".join(parts)] = checksum
    if not budget.files:
        raise DataError(f"{archive}: holds no {' or '.join(chosen or ['files'])}; is it the right archive?")
    with writing(target):
        write_list(target / f"{archive.name}{ENDING}", written)


class _Budget:
    """What may still be written."""

    def __init__(self, archive: Path, max_bytes: int, max_files: int, folder: Path):
        self.archive, self.max_bytes, self.max_files = archive, max_bytes, max_files
        self.folder, self.free = folder, shutil.disk_usage(folder).free
        self.bytes = self.files = 0

    def add_file(self) -> None:
        self.files += 1
        if self.files > self.max_files:
            raise DataError(f"{self.archive}: holds more than {self.max_files:,} files; not unpacked")

    def add_bytes(self, count: int) -> None:
        self.bytes += count
        if self.bytes > self.max_bytes:
            raise DataError(f"{self.archive}: holds more than {readable(self.max_bytes)} unpacked; not unpacked")
        if self.bytes > self.free:
            raise DataError(
                f"{self.folder}: {readable(self.free)} are free, and {self.archive} holds more; make room or "
                f"choose another place"
            )


def _write(archive: Path, member: Member, path: Path, budget: _Budget) -> str | None:
    """Write a file or make a folder; the checksum of a file."""
    if member.kind not in ("file", "folder"):
        raise DataError(f"{archive}: {member.name[:80]!r} is a {member.kind}; not unpacked")
    with writing(path):
        (path if member.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
    if member.kind == "folder":
        return None
    hashed = xxhash.xxh3_128()
    with writing(path), path.open("wb") as file:
        for chunk in member.chunks():
            budget.add_bytes(len(chunk))
            hashed.update(chunk)
            file.write(chunk)
    return hashed.hexdigest()


def _move(source: Path, target: Path) -> None:
    """Rename `source` to `target`; where both are folders, do so with what is in them, and then remove `source`."""
    if not (source.is_dir() and target.is_dir()):
        source.replace(target)
        return
    for entry in source.iterdir():
        _move(entry, target / entry.name)
    source.rmdir()
