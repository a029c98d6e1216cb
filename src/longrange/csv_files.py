"""Tables as CSV files: read whole or refused, written whole or not at all."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from longrange.errors import DataError
from longrange.whole_files import write_whole

Row = dict[str, str]


def read_csv(path: Path, columns: Sequence[str] | None = None) -> list[Row]:
    """The rows of a table, by column.

    Args:
        path: the file.
        columns: that it must have, in this order; None for any.
    Raises:
        DataError: the file cannot be read, has other columns, or a row has more or fewer of them.
    """
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows, head = list(reader), tuple(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path}: cannot be read as a table ({problem})") from problem
    if columns is not None and head != tuple(columns):
        raise DataError(f"{path}: has other columns than {', '.join(columns)}")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise DataError(f"{path}, row {number}: has not the {len(head)} columns of the head")
    return rows


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> bytes:
    """A table as the content of a file; without `columns` it has those of the first row."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns or list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def keep_rows(path: Path, rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
    """Put rows in a table, each in the place of the one that has the same keys, or at the end.

    Args:
        path: the file, made if it is not there.
        rows: with the same columns; where the table has further ones, they stay, empty in these rows.
        keys: columns that tell one row from another.
    Raises:
        DataError: the table cannot be read.
        OSError: it cannot be written; it is as it was.
    """
    old = read_csv(path) if path.exists() else []
    places = {tuple("" if row.get(key) is None else str(row[key]) for key in keys): row for row in [*old, *rows]}
    write_whole(path, as_csv(list(places.values()), list(dict.fromkeys([*rows[0], *(old[0] if old else ())]))))
