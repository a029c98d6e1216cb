"""A filled table on the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text as Rich

from longrange.results.layout import Layout, Line, Text
from longrange.results.runs import Run

_COLOURS = {True: "green", False: "red", None: ""}
_STYLES = {"published": "", "ours": "bold", "difference": "", "runs": "dim"}
_STYLE = {"box": SIMPLE_HEAD, "show_edge": False, "padding": 0, "title_justify": "left", "title_style": "bold"}
_NOTHING = {"not run", "no setting", "-"}


def print_table(shown: Layout, console: Console) -> None:
    """Print the table, its footnotes and the runs in it.

    Args:
        shown: the table.
        console: where to print.
    """
    grid = Grid(title=escape(shown.title), **_STYLE)
    grid.add_column("model", overflow="fold")
    grid.add_column("", no_wrap=True)
    for heading in shown.headings:
        grid.add_column(Rich(heading), overflow="fold", min_width=7)  # "not run"
    for lines in (shown.peers, shown.own):
        _add(grid, lines, narrow=console.width < 110)
    console.print(grid)
    for letter, note in shown.footnotes.items():
        console.print(Rich(f"({letter}) {note}", "dim"), soft_wrap=True)
    for remark in shown.remarks:
        console.print(Rich(remark), soft_wrap=True)
    if shown.runs:
        console.print(_runs(shown.runs))


def _add(grid: Grid, lines: tuple[Line, ...], narrow: bool) -> None:
    before = None
    for place, line in enumerate(lines):
        last_of_row = place + 1 == len(lines) or lines[place + 1].row != line.row
        row = Rich(line.row, "bold" if line.what == "published" else "")
        grid.add_row(
            row if line.row != before else "",
            Rich(line.what, "dim"),
            *(_cell(text, line.what, narrow) for text in line.texts),
            end_section=place + 1 == len(lines) or (last_of_row and len(lines) > 1 and line.what != "published"),
        )
        before = line.row


def _cell(text: Text, what: str, narrow: bool) -> Rich:
    style = _COLOURS[text.better] or ("dim" if text.value in _NOTHING else _STYLES[what])
    cell = Rich(text.value.replace(", ", "\n") if narrow else text.value, style)
    if text.marks:
        cell.append(f" ({','.join(text.marks)})", "dim")
    return cell


def _runs(runs: tuple[Run, ...]) -> Grid:
    grid = Grid(title="Runs", **_STYLE)
    for heading in ("experiment", "seed", "test", "protocol", "hours", "device", "commit", "from"):
        grid.add_column(heading, overflow="fold")
    for run in runs:
        name = " + ".join(filter(None, [run.experiment, run.pretrain]))
        device = f"{run.gpus} x {run.device}" if run.gpus else run.device
        cells = [name, run.seed, run.test, run.protocol, f"{run.hours:.2f}", device, run.code, run.origin]
        grid.add_row(*(Rich(str(cell)) for cell in cells))
    return grid
