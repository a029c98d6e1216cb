"""A step's parts as a table on the terminal, as JSON and CSV, and as a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from longrange.csv_files import as_csv
from longrange.pictures import BLUE, DARK, LIGHT_BLUE, RED, picture
from longrange.provenance import device_name, file_name, setting_name
from longrange.whole_files import write_whole

_WIDTH = 140  # of the table in a file or a pipe
_LEAST_SHARE = 0.005  # of the step: smaller parts share a bar

Row = dict[str, Any]


def write_report(folder: Path, summary: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    """Print the table on standard error and write <experiment>.json, .csv and .png.

    Args:
        folder: where to; made if it is not there.
        summary: of the whole step.
        rows: of its parts, the largest gap first.
    Returns:
        The summary, rounded, and the JSON file.
    """
    summary, rows = _rounded(summary), [_rounded(row) for row in rows]
    path = folder / f"{_name(summary)}.json"
    write_whole(path, (json.dumps({**summary, "parts": rows}, indent=1) + "\n").encode())
    write_whole(path.with_suffix(".csv"), as_csv(rows))
    draw(path.with_suffix(".png"), summary, rows)
    console = Console(stderr=True)
    (console if console.is_terminal else Console(stderr=True, width=_WIDTH)).print(printed(summary, rows))
    return {**summary, "parts": str(path)}


def printed(summary: dict[str, Any], rows: list[Row]) -> Table:
    """The table for the terminal: milliseconds, the largest gap first."""
    table = Table(title=title(summary), caption=_limits(summary), box=SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    table.title_justify = table.caption_justify = "left"
    table.add_column("part", no_wrap=True)
    headings = (
        "forward ms",
        "backward ms",
        "of step",
        "floor ms",
        "gap ms",
        "reached",
        "GFLOP",
        "MiB least",
        "bound by",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        floor = row["forward_floor_s"] + row["backward_floor_s"]
        cells = [_ms(row["forward_s"]), _ms(row["backward_s"]), f"{row['share']:.1%}", _ms(floor), _ms(row["gap_s"])]
        reached = f"{row['reached']:.0%}" if floor else "-"
        table.add_row(row["part"], *cells, reached, f"{row['gflop']:.2f}", f"{row['mib']:.1f}", row["bound"] or "-")
    table.add_section()
    forward, backward = (sum(row[key] for row in rows) for key in ("forward_s", "backward_s"))
    gap, reached = summary["step_s"] - summary["floor_s"], f"{summary['reached']:.0%}"
    cells = [_ms(forward), _ms(backward), "100.0%", _ms(summary["floor_s"]), _ms(gap), reached]
    work = [f"{sum(row['gflop'] for row in rows):.2f}", f"{sum(row['mib'] for row in rows):.1f}", ""]
    table.add_row("step", *cells, *work, style="bold")
    return table


def draw(path: Path, summary: dict[str, Any], rows: list[Row]) -> None:
    """Draw a bar for each part, forward and backward, with its floor, the largest gap on top.

    Args:
        path: the PNG file to write.
        summary: of the whole step.
        rows: of its parts, the largest gap first.
    """
    rows = _large(rows)
    with picture(path, 9, 1.7 + 0.3 * len(rows)) as figure:
        axes = figure.subplots()
        _bars(axes, rows)
        axes.set_yticks(range(len(rows)), [row["part"] for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("time in one step, ms; beside each bar its gap, time minus floor")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.legend(handles=_legend(), loc="lower right")
        figure.suptitle(title(summary), x=0.01, ha="left")


def _bars(axes: Axes, rows: list[Row]) -> None:
    forward = np.array([row["forward_s"] for row in rows]) * 1e3
    backward = np.array([row["backward_s"] for row in rows]) * 1e3
    floors = np.array([row["forward_floor_s"] + row["backward_floor_s"] for row in rows]) * 1e3
    ends, places = np.maximum(forward + backward, floors), np.arange(len(rows))
    axes.barh(places, forward, color=LIGHT_BLUE, height=0.62)
    axes.barh(places, backward, left=forward, color=BLUE, height=0.62)
    axes.vlines(floors, places - 0.42, places + 0.42, color=RED, linewidth=2.2)
    for place, end, row in zip(places, ends, rows, strict=True):
        at = end + 0.012 * ends.max()
        axes.text(at, place, f"{row['gap_s'] * 1e3:+.1f} ms", va="center", fontsize=8, color=DARK)
    axes.set_xlim(0, ends.max() * 1.13)


def title(summary: dict[str, Any]) -> str:
    """The step in two lines: what came out, and of what on what."""
    step, floor = (f"{summary[key] * 1e3:.1f} ms" for key in ("step_s", "floor_s"))
    size = f"batch {summary['batch_size']}, {summary['length']} steps, {summary['precision']}, {device_name(summary)}"
    return f"{setting_name(summary)}: {step}, floors {floor}, {summary['reached']:.0%} reached\n{size}"


def _limits(summary: dict[str, Any]) -> str:
    rates = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in summary["matrix_gflop_per_s"].items())
    unwatched = f"a step that nobody watches takes {summary['unwatched_step_s'] * 1e3:.1f} ms"
    return f"matrix products {rates}, memory {summary['bandwidth_gb_per_s']:.1f} GB/s; {unwatched}"


def _large(rows: list[Row]) -> list[Row]:
    """The rows worth a bar, and one for all others together."""
    large = [row for row in rows if row["share"] >= _LEAST_SHARE]
    small = [row for row in rows if row["share"] < _LEAST_SHARE]
    if not small:
        return large
    sums = ("forward_s", "backward_s", "forward_floor_s", "backward_floor_s", "gap_s")
    return [*large, {"part": f"{len(small)} others", **{key: sum(row[key] for row in small) for key in sums}}]


def _legend() -> list:
    return [
        Patch(color=LIGHT_BLUE, label="forward"),
        Patch(color=BLUE, label="backward"),
        Line2D([], [], color=RED, linestyle="", marker="|", markersize=10, mew=2.2, label="floor of both"),
    ]


def _name(summary: dict[str, Any]) -> str:
    """Of the files: what was run, and in which precision and on what where that is not float32 on a CPU."""
    unusual = [summary[key] for key, usual in (("precision", "32-true"), ("device", "cpu")) if summary[key] != usual]
    return file_name(setting_name(summary), *unusual)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Six significant digits are more than a clock has."""
    return {
        key: float(f"{value:.6g}")
        if isinstance(value, float)
        else _rounded(value)
        if isinstance(value, dict)
        else value
        for key, value in values.items()
    }


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
