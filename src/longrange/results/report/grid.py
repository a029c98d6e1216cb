"""Tables of the page: cells that sort by a key of their own, columns that are left out where they are empty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cell:
    """One place of a table.

    Attributes:
        text: what is shown.
        key: what it sorts by, where that is not the text; None of a numeric column sorts last in both directions.
        title: what is shown when the pointer rests on it.
        href: what it links to.
        path: of a small curve, see `charts.sparkline`, in place of the text.
        parts: further lines below the text, each with its CSS class.
    """

    text: str = ""
    key: float | str | None = None
    title: str | None = None
    href: str | None = None
    path: str | None = None
    parts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its heading.
        numeric: whether it holds numbers: to the right, and sorted by them.
        first: direction of the first click, "ascending" or "descending".
        note: what is shown when the pointer rests on the heading.
    """

    title: str
    numeric: bool = False
    first: str = "ascending"
    note: str | None = None


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        cells: one a column.
        run: the run it is of, where the page can hide it with the run.
        style: its CSS class.
    """

    cells: Sequence[Cell]
    run: str | None = None
    style: str = ""


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        columns: from left to right.
        rows: from top to bottom.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]

    def without_empty_columns(self) -> "Grid":
        """Columns that say nothing in any row are left out."""
        kept = [
            place
            for place in range(len(self.columns))
            if any(row.cells[place].text or row.cells[place].path or row.cells[place].parts for row in self.rows)
        ]
        rows = [replace(row, cells=[row.cells[place] for place in kept]) for row in self.rows]
        return Grid([self.columns[place] for place in kept], rows)
