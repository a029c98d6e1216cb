"""Archives as untrusted input: nothing is written outside the folder, and no more than a stated amount.

Only files and folders are unpacked. Links and devices are refused, whatever they point to: no published data set needs
them, and the checks that would allow some have been bypassed before. Sizes are counted while writing, because an
archive can lie about them.
"""

import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from longrange.data.fetch import Source, fetch
from longrange.data.files import locked, writing
from longrange.data.progress import byte_bar, readable
from longrange.errors import DataError

_CHUNK = 1 << 20
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    ValueError, LookupError, RuntimeError, OverflowError, struct.error,
)  # fmt: skip


class _Member(NamedTuple):
    name: str
    kind: str  # "file", "folder", or what it is instead
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path,
    folder: Path,
    members: Sequence[str] | None = None,
    *,
    max_bytes: int = 64 * 10**9,
    max_files: int = 5_000_000,
) -> None:
    """Unpack a tar file (plain or compressed in any of its usual ways) or a zip file.

    The caller holds `locked(folder)`. The files appear when all of them are written: the whole folder where it is new,
    otherwise each new file or folder in it; what else it holds stays.

    Args:
        archive: the file.
        folder: what its names are relative to.
        members: files or folders in the archive to unpack; everything where None.
        max_bytes: how much may be unpacked.
        max_files: how many files and folders may be unpacked.

    Raises:
        DataError: the archive is damaged, holds something that is refused or none of `members`; the folder cannot be
            written.
    """
    target = folder.resolve()  # a link to another disk stays a link
    partial = target.with_name(f"{target.name}.partial")
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _write_all(archive, partial, members, _Budget(archive, max_bytes, max_files))
            _move(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def ensure_unpacked(
    source: Source, folder: Path, present: Callable[[], bool], members: Sequence[str] | None = None, **options
) -> None:
    """Fetch an archive into a folder and unpack it there, unless that has been done; one process does the work.

    Args:
        source: the archive.
        folder: where it belongs, and where it is unpacked.
        present: whether the unpacked files are there.
        members: as in `unpack`.
        options: as in `fetch`.

    Raises:
        DataError: as in `fetch` and `unpack`.
    """
    if present():
        return
    with locked(folder):
        if not present():
            unpack(fetch(source, folder, **options), folder, members)


class _Budget:
    """What may still be written."""

    def __init__(self, archive: Path, max_bytes: int, max_files: int):
        self.archive, self.max_bytes, self.max_files = archive, max_bytes, max_files
        self.bytes = self.files = 0

    def add_file(self) -> None:
        self.files += 1
        if self.files > self.max_files:
            raise DataError(f"{self.archive}: holds more than {self.max_files:,} files; not unpacked")

    def add_bytes(self, count: int) -> None:
        self.bytes += count
        if self.bytes > self.max_bytes:
            raise DataError(f"{self.archive}: holds more than {readable(self.max_bytes)} unpacked; not unpacked")


def _write_all(archive: Path, target: Path, members: Sequence[str] | None, budget: _Budget) -> None:
    wanted = None if members is None else [PurePosixPath(name).parts for name in members]
    with _reading(archive), archive.open("rb") as raw, byte_bar(f"unpacking {archive.name}", _size(raw)) as show:
        for member in _members(raw):
            show(raw.tell())
            parts = _safe_parts(archive, member)
            if parts and (wanted is None or any(parts[: len(chosen)] == chosen for chosen in wanted)):
                budget.add_file()
                _write(archive, member, target.joinpath(*parts), budget)
    if not budget.files:
        raise DataError(f"{archive}: holds no {' or '.join(members or ['files'])}; is it the right archive?")


def _size(raw: IO[bytes]) -> int:
    raw.seek(0, 2)
    size = raw.tell()
    raw.seek(0)
    return size


def _safe_parts(archive: Path, member: _Member) -> tuple[str, ...]:
    """The pieces of a name that stays inside the folder."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\0" in member.name or "\\" in member.name:
        raise DataError(f"{archive}: {member.name[:80]!r} would be written outside the folder; not unpacked")
    return name.parts


def _write(archive: Path, member: _Member, path: Path, budget: _Budget) -> None:
    if member.kind not in ("file", "folder"):
        raise DataError(f"{archive}: {member.name[:80]!r} is a {member.kind}; not unpacked")
    with writing(path):
        (path if member.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
    if member.kind == "folder":
        return
    with member.open() as stream:
        with writing(path):
            file = path.open("wb")
        with writing(path), file:
            for chunk in _chunks(archive, stream):
                budget.add_bytes(len(chunk))
                file.write(chunk)


def _chunks(archive: Path, stream: IO[bytes]) -> Iterator[bytes]:
    while True:
        with _reading(archive):
            chunk = stream.read(_CHUNK)
        if not chunk:
            return
        yield chunk


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what the decoders raise into one line."""
    try:
        yield
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise DataError(f"{archive}: damaged or not an archive ({reason}); get it again") from error


def _members(raw: IO[bytes]) -> Iterator[_Member]:
    return _zip_members(raw) if zipfile.is_zipfile(raw) else _tar_members(raw)


def _zip_members(raw: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(raw) as archive:
        for info in archive.infolist():
            link = stat.S_ISLNK(info.external_attr >> 16)
            kind = "link" if link else "folder" if info.is_dir() else "file"
            yield _Member(info.filename, kind, lambda info=info: archive.open(info))


def _tar_members(raw: IO[bytes]) -> Iterator[_Member]:
    raw.seek(0)
    with tarfile.open(fileobj=raw) as archive:
        while info := archive.next():
            archive.members.clear()  # a list of millions of images would fill the memory
            kind = "folder" if info.isdir() else "file" if info.isreg() else "link" if _is_link(info) else "device"
            yield _Member(info.name, kind, lambda info=info: archive.extractfile(info))
        _check_end(archive)


def _is_link(info: tarfile.TarInfo) -> bool:
    return info.issym() or info.islnk()


def _check_end(archive: tarfile.TarFile) -> None:
    """`tarfile` takes a damaged header for the end; the true end is a block of zeros and nothing but zeros after it.

    Reading to the end also lets the decompressor compare its checksum.
    """
    whole = archive.fileobj.tell() - archive.offset == tarfile.BLOCKSIZE
    while chunk := archive.fileobj.read(_CHUNK):
        whole = whole and not any(chunk.lstrip(b"\0"))
    if not whole:
        raise tarfile.ReadError("it ends before its end mark")


def _move(source: Path, target: Path) -> None:
    """Rename `source` to `target`; where both are folders, do so with what is in them."""
    if not (source.is_dir() and target.is_dir()):
        source.replace(target)
        return
    for entry in source.iterdir():
        _move(entry, target / entry.name)
