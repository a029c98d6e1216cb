"""Rows of the retrieval files: tab-separated label, two ids, two texts; no header, and a quotation mark is a letter."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from longrange.data.lines import lines
from longrange.errors import DataError

_LABELS = {b"0": 0, b"1": 1, b"0.0": 0, b"1.0": 1}
_LONGEST = 10**8  # bytes of a row; published papers are below a million characters
_COLUMNS = ("label", "id 1", "id 2", "text 1", "text 2")


class Row(NamedTuple):
    """A pair of documents.

    Attributes:
        label: 1 where one cites the other.
        first, second: their texts.
    """

    label: int
    first: str
    second: str


def read_rows(path: Path, what: str) -> Iterator[Row]:
    """The rows of a file, one at a time.

    Args:
        path: a TSV file.
        what: a word for the progress bar, such as "encoding".
    Raises:
        DataError: the file is missing or empty, or a row is not a pair; names the row, counted from 1.
    """
    number = 0
    for number, line in lines(path, f"{what} {path.name}", _LONGEST):
        yield _row(path, number, line.removesuffix(b"\n").removesuffix(b"\r"))
    if not number:
        raise DataError(f"{path}: is empty; get it again")


def _row(path: Path, number: int, line: bytes) -> Row:
    columns = line.split(b"\t")
    if len(columns) != len(_COLUMNS):
        raise _fault(path, number, f"{len(columns)} columns, expected {', '.join(_COLUMNS)}")
    label = _LABELS.get(columns[0])
    if label is None:
        raise _fault(path, number, f"label {columns[0][:20].decode(errors='replace')!r}, expected 0 or 1")
    try:
        return Row(label, columns[3].decode(), columns[4].decode())
    except UnicodeDecodeError as error:
        raise _fault(path, number, f"not UTF-8 ({error.reason})") from error


def _fault(path: Path, number: int, reason: str) -> DataError:
    return DataError(f"{path}, row {number}: {reason}; mend or remove the row, or get the file again")
