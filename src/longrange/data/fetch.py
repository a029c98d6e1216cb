"""Published files: downloaded once, whole and checked, or one line that says how to get them by hand.

A download grows in `<file>.partial` and takes its name when it is complete, checked and on the disk. What was cut off
is continued by the same command later. Of several processes one downloads; the others wait. Where the publisher states
no checksum, that of what came is kept beside it, as `<file>.xxh128`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from longrange.data.checksums import ENDING, checksum, write_list
from longrange.data.download import Download
from longrange.data.files import locked, writing
from longrange.errors import DataError
from longrange.whole_files import flush


@dataclass(frozen=True)
class Source:
    """A published file.

    Attributes:
        url: where it can be downloaded without a click; None where it cannot.
        name: what the file is called on disk.
        size: bytes, exact or about; for tables, and for the disk check where the server does not say.
        checksum: "sha256:<hex>" or "md5:<hex>"; None where none is published.
        by_hand: how a person gets it; "download <url>" where empty.
    """

    url: str | None
    name: str
    size: int | None = None
    checksum: str | None = None
    by_hand: str = ""

    def hint(self, folder: Path) -> str:
        """The end of an error line: how a person gets the file, and where to put it."""
        return f"by hand: {self.by_hand or f'download {self.url}'}, and put it at {folder / self.name}"


def fetch(
    source: Source,
    folder: Path,
    *,
    download: bool = True,
    timeout: float = 30.0,
    attempts: int = 4,
    pause: float = 1.0,
) -> Path:
    """The published file in `folder`: the one that is there, or downloaded.

    Args:
        source: what to get.
        folder: where it belongs; made where absent.
        download: False: never ask a server.
        timeout: seconds without a byte after which a connection counts as lost.
        attempts: connections that may fail in a row without bringing the file further.
        pause: seconds before the second attempt; doubled before each later one.
    Returns:
        Its path.
    Raises:
        DataError: it is absent and cannot be downloaded, or is not the published file.
    """
    path = folder / source.name
    if not path.exists():
        if source.url is None:
            raise DataError(f"{path}: missing, and cannot be downloaded directly; {source.hint(folder)}")
        if not download:
            raise DataError(f"{path}: missing, and downloading is off; {source.hint(folder)}")
        with locked(path):
            if not path.exists():
                _download(source, path, timeout, attempts, pause)
                return path
    if not matches(path, source.checksum):
        raise DataError(f"{path}: not the published file ({source.checksum} expected); remove it and run this again")
    return path


def matches(path: Path, checksum: str | None) -> bool:
    """Whether a file has this checksum; True where None is known.

    Args:
        path: an existing file.
        checksum: as in `Source`.
    Raises:
        DataError: the file cannot be read.
    """
    if checksum is None:
        return True
    algorithm, _, expected = checksum.partition(":")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest() == expected
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); mend or remove it") from error


def _download(source: Source, path: Path, timeout: float, attempts: int, pause: float) -> None:
    partial = path.with_name(f"{path.name}.partial")
    download = Download(source.url, partial, source.size, source.hint(path.parent), timeout)
    download.run(attempts, pause)
    if not matches(partial, source.checksum):
        download.discard()
        raise DataError(
            f"{source.url}: what it sent is not the published file ({source.checksum} expected); "
            f"run this again; or {source.hint(path.parent)}"
        )
    with writing(path):
        flush(partial)
        if source.checksum is None:
            write_list(path.with_name(f"{path.name}{ENDING}"), {path.name: checksum(partial)})
        partial.rename(path)
        flush(path.parent)
    download.discard()
