"""A filled table as lines of text, the same for the terminal, Markdown and LaTeX: figures, differences, footnotes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from string import ascii_lowercase

from longrange.results.cells import Cell, Cells, averages
from longrange.results.runs import Run
from longrange.results.table import Figure, Row, Table

DECIMALS = {"accuracy": 2, "rmse": 3}


@dataclass(frozen=True)
class Text:
    """What stands in one place of a table.

    Attributes:
        value: the text.
        marks: letters of its footnotes.
        better: whether it tells of ours being better (True) or worse (False) than published; None for all else.
    """

    value: str
    marks: tuple[str, ...] = ()
    better: bool | None = None


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        row: title of the model; the lines of one model follow each other.
        what: "published", "ours", "difference" or "runs" (how many seeds, by which protocol, in what time).
        texts: by column, the average last where there is one.
    """

    row: str
    what: str
    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Layout:
    """A table ready to be written.

    Attributes:
        title: with the unit.
        headings: of the columns, the average's included.
        peers: lines of models that are not ours to run.
        own: lines of the models that are.
        footnotes: by letter.
        remarks: on columns, sentences.
        sources: of the printed figures, by row's title.
        runs: all that count, by experiment and seed.
    """

    title: str
    headings: tuple[str, ...]
    peers: tuple[Line, ...]
    own: tuple[Line, ...]
    footnotes: dict[str, str]
    remarks: tuple[str, ...]
    sources: dict[str, str]
    runs: tuple[Run, ...]


@dataclass
class _Marks:
    """Letters for footnotes; equal notes share one."""

    letters: dict[str, str] = field(default_factory=dict)

    def of(self, notes: Iterable[str]) -> tuple[str, ...]:
        """The letters of some notes, new ones where they are new: a to z, aa to zz."""
        for note in notes:
            number = len(self.letters)
            self.letters.setdefault(note, ascii_lowercase[number % 26] * (number // 26 + 1))
        return tuple(sorted(self.letters[note] for note in notes))


def layout(table: Table, found: Cells) -> Layout:
    """Write out every cell.

    Args:
        table: the table.
        found: its cells.
    """
    marks, means = _Marks(), averages(table, found)
    peers, own = [], []
    for row in table.rows.values():
        of_row = [found[row.key, column] for column in table.columns]
        (own if row.model else peers).extend(_lines(table, row, of_row, means.get(row.key), marks))
    counted = [run for cell in found.values() for run in cell.runs]
    return Layout(
        title=f"{table.title}, {'test accuracy in %' if table.metric == 'accuracy' else 'test RMSE, lower is better'}",
        headings=(*(column.title for column in table.columns.values()), *(["Average"] if means else [])),
        peers=tuple(peers),
        own=tuple(own),
        footnotes={letter: note for note, letter in marks.letters.items()},
        remarks=tuple(_remarks(table)),
        sources=_sources(table),
        runs=tuple(sorted(counted, key=lambda run: (run.experiment, run.pretrain or "", run.seed))),
    )


def figure(value: float | None, metric: str, std: float | None = None) -> str:
    """A number as the table writes it, e.g. "62.15 ±0.23"; empty for None."""
    if value is None:
        return ""
    digits = DECIMALS[metric]
    return f"{value:.{digits}f}" + ("" if std is None else f" ±{std:.{digits}f}")


def _lines(
    table: Table, row: Row, of_row: list[Cell], means: tuple[float | None, float | None] | None, marks: _Marks
) -> list[Line]:
    metric = table.metric
    published = [_published(cell.published, metric, marks) for cell in of_row]
    ours = [_ours(cell, marks) for cell in of_row] if row.model else []
    for texts, value in zip((published, ours), means or (), strict=False):
        texts.append(Text(figure(value, metric), _shared(texts) if value is not None else ()))
    lines = [Line(row.title, "published", tuple(published))]
    if row.model:
        lines.append(Line(row.title, "ours", tuple(ours)))
    if any(cell.runs for cell in of_row):
        both = means or (None, None)
        change = None if None in both else both[1] - both[0]
        last = [] if means is None else [_difference(change, table)]
        lines.append(Line(row.title, "difference", (*(_difference(cell.difference, table) for cell in of_row), *last)))
        costs = [Text(_cost(cell)) for cell in of_row]
        lines.append(Line(row.title, "runs", (*costs, *([] if means is None else [Text("")]))))
    return lines


def _shared(texts: list[Text]) -> tuple[str, ...]:
    """The marks that all have in common: what holds of every cell holds of their average."""
    return tuple(mark for mark in texts[0].marks if all(mark in text.marks for text in texts))


def _published(printed: Figure | None, metric: str, marks: _Marks) -> Text:
    if printed is None:
        return Text("")
    notes = (*printed.notes, *(["a single run"] if printed.n == 1 else []))
    return Text("fails" if printed.mean is None else figure(printed.mean, metric, printed.std), marks.of(notes))


def _ours(cell: Cell, marks: _Marks) -> Text:
    if cell.runs:
        value = figure(cell.mean, cell.metric, cell.std)
    elif cell.column.task is None:
        value = "-"
    else:
        value = "not run" if cell.experiment else "no setting"
    return Text(value, marks.of(cell.notes))


def _difference(change: float | None, table: Table) -> Text:
    if change is None:
        return Text("")
    return Text(f"{change:+.{DECIMALS[table.metric]}f}", (), (change < 0) == table.lower_is_better)


def _cost(cell: Cell) -> str:
    """E.g. "3 seeds, heldout, 3.1 GPU h"."""
    if not cell.runs:
        return ""
    amounts = [(cell.gpu_hours, "GPU h"), (cell.cpu_hours, "CPU h")]
    took = [f"{amount:.1f} {unit}" for amount, unit in amounts if amount]
    return ", ".join(["1 seed" if cell.n == 1 else f"{cell.n} seeds", cell.protocol, *took])


def _remarks(table: Table) -> list[str]:
    remarks = list(dict.fromkeys(column.note for column in table.columns.values() if column.note))
    remarks.append("Ours: mean and standard deviation (n - 1) over n seeds of the published setting.")
    if table.failure is not None:
        remarks.append(f"A failure counts {table.failure:g} in an average; without all tasks there is none.")
    return remarks


def _sources(table: Table) -> dict[str, str]:
    sources = {}
    for row in table.rows.values():
        printed = dict.fromkeys(each.source for each in row.published.values())
        if printed:
            sources[row.title] = "; ".join(printed)
    return sources
