"""A filled table as a picture: for each column, what is published and what we reached, model by model."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from longrange.pictures import BLUE, GREY, RED, picture
from longrange.results.cells import Cells
from longrange.results.table import Column, Table

_PUBLISHED, _OURS, _PEERS = GREY, RED, BLUE


def plot_table(path: Path, table: Table, found: Cells) -> Path:
    """Draw one panel a column: a ring for the published mean, a dot for ours, bars for their standard deviations.

    Args:
        path: the PNG file.
        table: the table.
        found: its cells.
    Returns:
        The file.
    """
    own = [row for row in table.rows.values() if row.model]
    columns = list(table.columns.values())
    with picture(path, 1.9 + 2.0 * len(columns), 1.7 + 0.34 * len(own)) as figure:
        panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for axes, column in zip(panels, columns, strict=True):
            _panel(axes, table, found, column, [row.key for row in own])
        panels[0].set_yticks(range(len(own)), [row.title for row in own])
        panels[0].set_ylim(len(own) - 0.4, -0.6)
        figure.supxlabel("test accuracy, %" if table.metric == "accuracy" else "test RMSE, lower is better")
        figure.suptitle(table.title, x=0.01, ha="left")
        figure.legend(handles=_legend(), loc="outside lower left", ncols=3)
    return path


def _panel(axes: Axes, table: Table, found: Cells, column: Column, own: list[str]) -> None:
    for key, row in table.rows.items():
        printed = found[key, column.key].published
        if row.model is None and printed and printed.mean is not None:
            axes.axvline(printed.mean, 0, 0.03, color=_PEERS, linewidth=1.2)
    for place, key in enumerate(own):
        cell = found[key, column.key]
        if cell.published and cell.published.mean is not None:
            _point(axes, cell.published.mean, cell.published.std, place - 0.12, _PUBLISHED, "white")
        elif cell.published:
            across = axes.get_yaxis_transform()
            axes.text(0.04, place, "fails", transform=across, va="center", fontsize=8, color=_PUBLISHED)
        if cell.mean is not None:
            _point(axes, cell.mean, cell.std, place + 0.12, _OURS, _OURS)
    axes.set_title(column.title)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _focus(axes, found, column, own)


def _point(axes: Axes, mean: float, std: float | None, height: float, colour: str, fill: str) -> None:
    axes.errorbar(mean, height, xerr=std, fmt="o", color=colour, markerfacecolor=fill, markersize=5, elinewidth=1.2)


def _focus(axes: Axes, found: Cells, column: Column, own: list[str]) -> None:
    """Show the span of our models; peers far off would squeeze it."""
    points = [each for key in own for each in (found[key, column.key], found[key, column.key].published) if each]
    spans = [(each.mean, each.std or 0.0) for each in points if each.mean is not None]
    ends = [mean + sign * std for mean, std in spans for sign in (-1, 1)]
    if ends:
        margin = 0.12 * (max(ends) - min(ends)) or 0.05 * max(ends)
        axes.set_xlim(min(ends) - margin, max(ends) + margin)


def _legend() -> list[Line2D]:
    dot = {"linestyle": "", "marker": "o", "markersize": 5}
    return [
        Line2D([], [], color=_PUBLISHED, markerfacecolor="white", label="published", **dot),
        Line2D([], [], color=_OURS, label="ours, mean over seeds", **dot),
        Line2D([], [], color=_PEERS, linestyle="", marker="|", markersize=6, label="published, other models"),
    ]
