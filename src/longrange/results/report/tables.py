"""Tables beside the runs: the published ones with our runs in their cells, and the committed results."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from omegaconf import OmegaConf

from longrange.errors import LongrangeError
from longrange.results.cells import cells, with_pretrained
from longrange.results.layout import Layout, Line, layout
from longrange.results.report.entries import Unreadable, reason
from longrange.results.report.fields import number
from longrange.results.report.grid import Cell, Column, Grid, Row
from longrange.results.runs import Run, read_runs
from longrange.results.table import Table


@dataclass(frozen=True)
class Sheet:
    """A table with its heading.

    Attributes:
        title: its heading.
        grid: the table.
        notes: below it.
    """

    title: str
    grid: Grid
    notes: Sequence[str]


def published(configs: Path, results: Path, outputs: Path) -> tuple[list[Sheet], list[Unreadable]]:
    """Every table of configs/table, filled as scripts/reproduce.py fills it.

    Args:
        configs: folder of the configuration.
        results: of the committed rows, `runs.csv`.
        outputs: of all runs.
    Returns:
        The tables, and what could not be read.
    """
    folder = configs / "experiment"
    names = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    runs, unreadable = _runs(results / "runs.csv", outputs)
    sheets = []
    for path in sorted((configs / "table").glob("*.yaml")):
        try:
            table = Table.from_config(path.stem, OmegaConf.to_container(OmegaConf.load(path), resolve=True))
            table = with_pretrained(table, runs)
            sheets.append(_sheet(table, layout(table, cells(table, runs, experiments=names))))
        except LongrangeError as error:
            unreadable.append(Unreadable(path, str(error)))
    return sheets, unreadable


def _runs(committed: Path, outputs: Path) -> tuple[list[Run], list[Unreadable]]:
    try:
        return read_runs([committed], outputs), []
    except (LongrangeError, OSError, RecursionError) as error:
        return [], [Unreadable(committed, f"so the published tables show no run of ours: {reason(error)}")]


def _sheet(table: Table, shown: Layout) -> Sheet:
    first = "ascending" if table.lower_is_better else "descending"
    columns = [Column("model"), *(Column(heading, numeric=True, first=first) for heading in shown.headings)]
    rows = [_row(row, list(lines)) for row, lines in groupby([*shown.own, *shown.peers], key=lambda line: line.row)]
    notes = [f"({letter}) {note}" for letter, note in shown.footnotes.items()]
    notes += [*shown.remarks, *(f"{row}: {source}" for row, source in shown.sources.items())]
    return Sheet(shown.title, Grid(columns, rows), notes)


def _row(title: str, lines: Sequence[Line]) -> Row:
    """One row a model: the printed figure of each cell, and below it ours, the difference and what it cost."""
    shown = [Cell(title)]
    for place in range(len(lines[0].texts)):
        parts, key = [], None
        for line in lines:
            text = line.texts[place]
            if not text.value:
                continue
            marks = f" ({','.join(text.marks)})" if text.marks else ""
            value = number(text.value.split()[0])
            style = {True: "better", False: "worse", None: line.what if value is not None else "quiet"}[text.better]
            parts.append((style, text.value + marks))
            key = value if key is None else key
        shown.append(Cell(key=key, parts=parts))
    return Row(shown)


def committed(results: Path) -> tuple[list[Sheet], list[Unreadable]]:
    """Every CSV file below a folder.

    Args:
        results: where there is no such folder, there are none.
    Returns:
        The tables, and what could not be read.
    """
    sheets, unreadable = [], []
    for path in sorted(results.rglob("*.csv")):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                header, *lines = csv.reader(file, strict=True)
            sheets.append(Sheet(path.relative_to(results).as_posix(), _grid(header, lines), []))
        except (OSError, ValueError, csv.Error) as error:
            unreadable.append(Unreadable(path, reason(error) if path.stat().st_size else "empty"))
    return sheets, unreadable


def _grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> Grid:
    """Columns that hold nothing but numbers sort as such; a line of another length than the header is refused."""
    for place, line in enumerate(lines):
        if len(line) != len(header):
            raise ValueError(f"line {place + 2} has {len(line)} values, the header {len(header)}")
    numeric = [all(number(line[k]) is not None for line in lines if line[k]) for k in range(len(header))]
    columns = [Column(name, numeric=is_numeric) for name, is_numeric in zip(header, numeric, strict=True)]
    rows = [[Cell(text, number(text) if numeric[k] else None) for k, text in enumerate(line)] for line in lines]
    return Grid(columns, [Row(row) for row in rows]).without_empty_columns()
