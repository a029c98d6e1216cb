"""IMDB reviews from any published form: the folder aclImdb, its archive, or the parquet files of Hugging Face."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from longrange.data.archive_members import members
from longrange.data.progress import readable, tracked
from longrange.data.reasons import reason
from longrange.errors import DataError

ARCHIVE = "aclImdb_v1.tar.gz"
SPLITS = ("train", "test")
LABELS = ("neg", "pos")

_FOLDERS = [f"{split}/{label}" for split in SPLITS for label in LABELS]
_AGAIN = "download it again"
_LONGEST, _MOST = 10**6, 3 * 10**8  # bytes of a review and of all; the published ones have 14,000 and 66 million
_ROWS = 64


class Reviews(NamedTuple):
    """Reviews of a published split, the negative ones first.

    Attributes:
        texts: as published.
        labels: 0 negative, 1 positive.
    """

    texts: list[str]
    labels: list[int]


def find(data_dir: Path) -> list[Path]:
    """What to read: the four folders of reviews, the archive, or the parquet files of train and test; or nothing.

    Args:
        data_dir: the folder that holds them, `aclImdb` itself included.
    """
    for folder in (data_dir / "aclImdb", data_dir):
        if any((folder / name).is_dir() for name in _FOLDERS):
            return [folder / name for name in _FOLDERS]
    if (data_dir / ARCHIVE).is_file():
        return [data_dir / ARCHIVE]
    for folder in (data_dir, data_dir / "plain_text"):
        files = {split: sorted(folder.glob(f"{split}*.parquet")) for split in SPLITS}
        if all(files.values()):
            return [file for split in SPLITS for file in files[split]]
    return []


def read(paths: list[Path]) -> dict[str, Reviews]:
    """All labelled reviews.

    Args:
        paths: from `find`.
    Returns:
        "train" and "test".
    Raises:
        DataError: a folder or file is missing, damaged, empty or of another kind; names it.
    """
    if paths[0].suffix == ".parquet":
        rows = _parquet_rows(paths)
    elif len(paths) == 1:
        rows = sorted(_archive_rows(paths[0]))
    else:
        rows = _folder_rows(paths)
    reviews, size = {split: Reviews([], []) for split in SPLITS}, 0
    for split, label, where, text in rows:
        size += len(text)
        if size > _MOST:
            raise DataError(f"{where}: more than {readable(_MOST)} of reviews up to here; {_AGAIN}")
        reviews[split].texts.append(_decoded(text, where))
        reviews[split].labels.append(label)
    return reviews


# Rows of each form: split, label, the place for error messages, the text in UTF-8.
_Row = tuple[str, int, str, bytes]


def _folder_rows(folders: list[Path]) -> Iterator[_Row]:
    for folder in tracked(folders, "reading reviews"):
        try:
            for file in sorted(folder.glob("*.txt")):
                _check_length(file.stat().st_size, str(file))
                yield folder.parent.name, LABELS.index(folder.name), str(file), file.read_bytes()
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error


def _archive_rows(path: Path) -> Iterator[_Row]:
    total = 0
    with closing(members(path, "reading")) as found:
        for member in found:
            *_, split, label, name = ("", "", "", *PurePosixPath(member.name).parts)
            if f"{split}/{label}" in _FOLDERS and member.kind == "file" and name.endswith(".txt"):
                _check_length(member.size, f"{path}: {member.name[:80]}")
                total += member.size
                if total > _MOST:
                    raise DataError(f"{path}: more than {readable(_MOST)} of reviews; {_AGAIN}")
                yield split, LABELS.index(label), f"{path}: {member.name}", b"".join(member.chunks())


def _parquet_rows(paths: list[Path]) -> Iterator[_Row]:
    for path in paths:
        split = next(split for split in SPLITS if path.name.startswith(split))
        for number, (text, label) in enumerate(_columns(path)):
            where = f"{path}, row {number}"
            if type(label) is not int or label not in (0, 1) or text is None:
                raise DataError(f"{where}: label {repr(label)[:40]}, expected 0 or 1 and a text; {_AGAIN}")
            _check_length(len(text), where)
            yield split, label, where, text


def _columns(path: Path) -> Iterator[tuple[bytes | None, object]]:
    """Texts and labels. A few rows at a time, as a small file may stand for any number of large ones."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for rows in file.iter_batches(_ROWS, columns=["text", "label"]):
                texts = rows.column("text").cast(pa.binary()).to_pylist()
                yield from zip(texts, rows.column("label").to_pylist(), strict=True)
    except KeyError as error:
        raise DataError(f"{path}: has no columns text and label; is it a file of the data set imdb?") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: damaged or not a parquet file of texts ({reason(error)}); {_AGAIN}") from error


def _check_length(size: int, where: str) -> None:
    if size > _LONGEST:
        raise DataError(f"{where}: {size:,} bytes, no review is that long; {_AGAIN}")


def _decoded(text: bytes, where: str) -> str:
    if not text:
        raise DataError(f"{where}: is empty; {_AGAIN}")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 at byte {error.start}; {_AGAIN}") from error
