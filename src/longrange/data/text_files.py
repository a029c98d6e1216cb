"""IMDB reviews from any published form: the folder aclImdb, its archive, or the parquet files of Hugging Face."""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import rich.progress

from longrange.errors import DataError

ARCHIVE = "aclImdb_v1.tar.gz"
SPLITS = ("train", "test")
LABELS = ("neg", "pos")

_FOLDERS = [f"{split}/{label}" for split in SPLITS for label in LABELS]
_AGAIN = "download it again"


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
        rows = iter(sorted(_archive_rows(paths[0])))
    else:
        rows = _folder_rows(paths)
    reviews = {split: Reviews([], []) for split in SPLITS}
    for split, label, where, text in rows:
        reviews[split].texts.append(_decoded(text, where))
        reviews[split].labels.append(label)
    return reviews


# Rows of each form: split, label, the place for error messages, the text in UTF-8.
_Row = tuple[str, int, str, bytes]


def _folder_rows(folders: list[Path]) -> Iterator[_Row]:
    for folder in rich.progress.track(folders, description="reading reviews"):
        try:
            for file in sorted(folder.glob("*.txt")):
                yield folder.parent.name, LABELS.index(folder.name), str(file), file.read_bytes()
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error


def _archive_rows(path: Path) -> Iterator[_Row]:
    try:
        with (
            rich.progress.open(path, "rb", description=f"reading {path.name}") as raw,
            tarfile.open(fileobj=raw) as tar,
        ):
            for member in tar:
                *_, split, label, name = ("", "", *PurePosixPath(member.name).parts)
                if f"{split}/{label}" in _FOLDERS and member.isreg() and name.endswith(".txt"):
                    yield split, LABELS.index(label), f"{path}: {member.name}", tar.extractfile(member).read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path}: damaged or cut short ({error}); remove it and {_AGAIN}") from error


def _parquet_rows(paths: list[Path]) -> Iterator[_Row]:
    for path in paths:
        split = next(split for split in SPLITS if path.name.startswith(split))
        texts, labels = _columns(path)
        for number, (text, label) in enumerate(zip(texts, labels, strict=True)):
            if label not in (0, 1) or text is None:
                raise DataError(f"{path}, row {number}: label {label!r}, expected 0 or 1 and a text; {_AGAIN}")
            yield split, label, f"{path}, row {number}", text.encode()


def _columns(path: Path) -> tuple[list, list]:
    try:
        table = pq.read_table(path)
        return table.column("text").cast(pa.string()).to_pylist(), table.column("label").to_pylist()
    except KeyError as error:
        raise DataError(f"{path}: has no columns text and label; is it a file of the data set imdb?") from error
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: damaged or not a parquet file of texts ({reason}); {_AGAIN}") from error


def _decoded(text: bytes, where: str) -> str:
    if not text:
        raise DataError(f"{where}: is empty; {_AGAIN}")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 at byte {error.start}; {_AGAIN}") from error
