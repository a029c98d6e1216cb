"""A filled table as files: Markdown, LaTeX for papers, CSV for programs. The same runs give the same bytes."""

from collections.abc import Callable
from pathlib import Path

from longrange.csv_files import as_csv
from longrange.results.cells import Cell, Cells
from longrange.results.layout import Layout, Line, Text
from longrange.results.runs import Run
from longrange.results.table import Table
from longrange.whole_files import write_whole

_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
_TEX |= {character: f"\\{character}" for character in "&%$#_{}"}

FIELDS = (
    *("table", "row", "column", "experiment", "pretrain", "unit"),
    *("published", "published_std", "published_n", "source", "published_notes"),
    *("ours", "std", "n", "difference", "protocol", "gpu_hours", "cpu_hours", "seeds", "commits", "notes"),
)


def write_tables(folder: Path, table: Table, found: Cells, shown: Layout, command: str) -> list[Path]:
    """Write `table.md`, `table.tex` and `table.csv`, each whole or not at all.

    Args:
        folder: where to; made if it is not there.
        table: the table.
        found: its cells.
        shown: its layout.
        command: that makes the files, for their first lines.
    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"md": markdown(shown, command), "tex": latex(shown, command)}
    contents = {kind: text.encode() for kind, text in texts.items()} | {"csv": comma_separated(table, found)}
    return [write_whole(folder / f"table.{kind}", content) for kind, content in contents.items()]


def markdown(shown: Layout, command: str) -> str:
    """The table, its notes, its runs and the sources of its printed figures."""
    head = ["model", "", *shown.headings]
    lines = [f"# {shown.title}", "", f"Made by `{command}`; do not edit.", "", *_grid(head, _rows(shown, _markdown))]
    lines += ["", *(f"- ({letter}) {_escaped(note)}" for letter, note in shown.footnotes.items())]
    lines += ["", *(f"- {_escaped(remark)}" for remark in shown.remarks), "", "## Runs", ""]
    if shown.runs:
        head = ["experiment", "pretraining", "seed", "test", "protocol", "hours", "GPUs", "device", "commit"]
        lines += _grid(head, [_run(run) for run in shown.runs])
    else:
        lines.append("None yet.")
    lines += ["", "## Sources", "", *(f"- {title}: {_escaped(source)}" for title, source in shown.sources.items())]
    return "\n".join(lines) + "\n"


def latex(shown: Layout, command: str) -> str:
    """A `tabular` as wide as the text, with booktabs' rules, its notes below; needs booktabs and graphicx."""
    columns = "ll" + "r" * len(shown.headings)
    head = ["", "", *map(_tex, shown.headings)]
    lines = [f"% Made by: {command}", "% \\usepackage{booktabs,graphicx}", "\\noindent\\resizebox{\\linewidth}{!}{%"]
    lines += [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", " & ".join(head) + r" \\"]
    for group in (shown.peers, shown.own):
        lines += ["\\midrule", *(" & ".join(row) + r" \\" for row in _rows_of(group, _tex_cell, _tex))]
    lines += ["\\bottomrule", "\\end{tabular}}", "", "\\par\\smallskip\\footnotesize"]
    lines += [f"$^{{{letter}}}$ {_tex(note)}.\\quad" for letter, note in shown.footnotes.items()]
    return "\n".join([*lines, *map(_tex, shown.remarks)]) + "\n"


def comma_separated(table: Table, found: Cells) -> bytes:
    """One line for each cell that has a printed figure, a setting or a run."""
    return as_csv([_record(table, cell) for cell in found.values() if cell.published or cell.experiment], FIELDS)


def _run(run: Run) -> list[str]:
    cells = (run.experiment, run.pretrain or "", run.seed, run.test, run.protocol, f"{run.hours:.2f}", run.gpus)
    return [str(cell) for cell in (*cells, run.device, run.code)]


def _record(table: Table, cell: Cell) -> dict[str, object]:
    printed = cell.published
    values = {
        "table": table.name,
        "row": cell.row.key,
        "column": cell.column.key,
        "experiment": cell.experiment,
        "pretrain": cell.row.pretrain,
        "unit": table.unit,
        "ours": _rounded(cell.mean),
        "std": _rounded(cell.std),
        "n": cell.n,
        "difference": _rounded(cell.difference),
        "protocol": cell.protocol,
        "gpu_hours": round(cell.gpu_hours, 2),
        "cpu_hours": round(cell.cpu_hours, 2),
        "seeds": " ".join(str(run.seed) for run in cell.runs),
        "commits": " ".join(dict.fromkeys(run.commit or "unknown" for run in cell.runs)),
        "notes": "; ".join(cell.notes),
    }
    if printed is not None:
        values |= {
            "published": "failed" if printed.mean is None else printed.mean,
            "published_std": printed.std,
            "published_n": printed.n,
            "source": printed.source,
            "published_notes": "; ".join(printed.notes),
        }
    return values


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _rows(shown: Layout, cell: Callable[[Text], str]) -> list[list[str]]:
    return [row for group in (shown.peers, shown.own) for row in _rows_of(group, cell, _escaped)]


def _rows_of(lines: tuple[Line, ...], cell: Callable[[Text], str], word: Callable[[str], str]) -> list[list[str]]:
    rows, before = [], None
    for line in lines:
        rows.append([word(line.row) if line.row != before else "", line.what, *map(cell, line.texts)])
        before = line.row
    return rows


def _grid(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def _markdown(text: Text) -> str:
    return text.value + (f" ({','.join(text.marks)})" if text.marks else "")


def _escaped(text: str) -> str:
    return text.replace("<", "\\<").replace("|", "\\|")


def _tex_cell(text: Text) -> str:
    return _tex(text.value) + (f"$^{{{','.join(text.marks)}}}$" if text.marks else "")


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
