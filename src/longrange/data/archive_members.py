"""What is in an archive, read as untrusted input: damage and malice are one line, and cost neither memory nor time.

Plain and gzip-compressed tar files and zip files are read, which is what data sets are published as. An archive can lie
about sizes, so they are counted while reading. One that holds far more than its own size is refused, the members nobody
asked for included: reading past them takes as long.
"""

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from longrange.data.progress import byte_bar, readable
from longrange.data.reasons import reason
from longrange.errors import DataError

_CHUNK = 1 << 20
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError,
    ValueError, LookupError, RuntimeError, OverflowError, struct.error,
)  # fmt: skip
_RATIO, _ALWAYS = 50, 10**8  # texts are packed to a quarter; a few bytes of zeros to a thousandth
_LONGEST_NAME = 1 << 16
_ZIP_END = 22 + (1 << 16)  # bytes of its record and of the longest comment
_IN_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Member(NamedTuple):
    """A file in an archive, or what else is there.

    Attributes:
        name: as the archive has it.
        kind: "file", "folder", or what it is instead.
        size: bytes, as the archive says.
        chunks: its content in pieces; call it before the next member is asked for. Raises DataError.
    """

    name: str
    kind: str
    size: int
    chunks: Callable[[], Iterator[bytes]]

    def parts(self, archive: Path) -> tuple[str, ...]:
        """The pieces of a name that stays inside its folder.

        Raises:
            DataError: it does not.
        """
        name = PurePosixPath(self.name)
        if name.is_absolute() or ".." in name.parts or set(self.name) & {"\0", "\n", "\\"}:
            raise DataError(f"{archive}: {self.name[:80]!r} would be written outside the folder; not unpacked")
        return name.parts


def members(archive: Path, doing: str) -> Iterator[Member]:
    """All members in the order of the archive, which has been read to its end, checksum included, after the last.

    Args:
        archive: the file.
        doing: a word for the progress bar, such as "unpacking".
    Raises:
        DataError: it is damaged, none of the known kinds, or holds far more than its size.
    """
    with _reading(archive), archive.open("rb") as raw:
        size = raw.seek(0, io.SEEK_END)
        read = _zip_members if zipfile.is_zipfile(raw) else _tar_members
        with byte_bar(f"{doing} {archive.name}", size) as show:
            for member in read(archive, raw, max(_RATIO * size, _ALWAYS)):
                show(raw.tell())
                yield member
            show(size)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what the decoders raise into one line."""
    try:
        yield
    except _DAMAGE as error:
        raise DataError(
            f"{archive}: damaged or not an archive of a known kind ({reason(error)}); remove it and get it again"
        ) from error


def _check(archive: Path, size: int, limit: int) -> None:
    """Refuse what grows beyond the limit; a size below zero would turn readers back."""
    if not 0 <= size <= limit:
        raise DataError(f"{archive}: holds more than {readable(limit)} unpacked; not unpacked")


def _chunks(archive: Path, open_: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    with _reading(archive), open_() as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _zip_members(archive: Path, raw: IO[bytes], limit: int) -> Iterator[Member]:
    with zipfile.ZipFile(raw) as opened:
        total = 0
        _check_number(raw, len(opened.infolist()))
        for info in opened.infolist():
            _check(archive, total := total + info.file_size, limit)
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"unusual compression of {info.filename[:80]!r}")
            name = info.orig_filename  # the other one ends at a zero byte
            link = stat.S_ISLNK(info.external_attr >> 16)
            kind = "link" if link else "folder" if name.endswith("/") else "file"
            yield Member(name, kind, info.file_size, _content(archive, opened.open, info))


def _check_number(raw: IO[bytes], found: int) -> None:
    """`zipfile` takes a damaged entry of the directory for its end; the end of the file says how many there are."""
    size = raw.seek(0, io.SEEK_END)
    raw.seek(max(size - _ZIP_END, 0))
    end = raw.read()
    stated = int.from_bytes(end[(at := end.rfind(b"PK\x05\x06") + 10) : at + 2], "little")
    if stated not in (found, 0xFFFF):  # which stands for a number that does not fit
        raise zipfile.BadZipFile(f"it holds {found} of {stated} members")


def _content(archive: Path, open_: Callable, info: object) -> Callable[[], Iterator[bytes]]:
    return lambda: _chunks(archive, lambda: open_(info))


class _Header(tarfile.TarInfo):
    """A tar header; those that `tarfile` would read into memory, whatever size they state, are kept small."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _IN_HEADERS and header.size > _LONGEST_NAME):
            raise ValueError(f"a header of {header.size:,} bytes")
        return header


def _tar_members(archive: Path, raw: IO[bytes], limit: int) -> Iterator[Member]:
    raw.seek(0)
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    with tarfile.open(fileobj=raw, mode="r:gz" if packed else "r:", tarinfo=_Header) as opened:
        while info := opened.next():
            opened.members.clear()  # a list of millions of images would fill the memory
            _check(archive, info.size, limit - info.offset_data)
            yield Member(info.name, _kind(info), info.size, _content(archive, opened.extractfile, info))
        _check_end(archive, opened, limit)


def _kind(info: tarfile.TarInfo) -> str:
    if info.isdir() or (info.isreg() and not info.issparse()):
        return "folder" if info.isdir() else "file"
    return "link" if info.issym() or info.islnk() else "device"


def _check_end(archive: Path, opened: tarfile.TarFile, limit: int) -> None:
    """`tarfile` takes a damaged header for the end; the true end is a block of zeros and nothing but zeros after it.

    Reading to the end also lets the decompressor compare its checksum.
    """
    whole = opened.fileobj.tell() - opened.offset == tarfile.BLOCKSIZE
    while chunk := opened.fileobj.read(_CHUNK):
        whole = whole and not any(chunk.lstrip(b"\0"))
        _check(archive, opened.fileobj.tell(), limit)
    if not whole:
        raise tarfile.ReadError("it ends before its end mark")
