"""The learning curve of a run as a picture: loss and selection metric of both splits, after each epoch (from 1)."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from longrange.training.outcome import BASELINES, Outcome
from longrange.whole_files import write_picture

_SPLITS = {"train": "#9aa7b5", "val": "#1f5fa8"}
_BEST = "#d1495b"


def learning_curve(outcome: Outcome, path: Path) -> Path:
    """Draw loss and metric over the epochs, the selected epoch and the baseline marked.

    Args:
        outcome: the measured facts of the training.
        path: the PNG file to write.
    Returns:
        The file.
    """
    names = list(dict.fromkeys(["loss", outcome.metric]))
    figure = Figure(figsize=(4.6 * len(names), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _panel(axes, outcome, name)
    return write_picture(path, figure, dpi=150)


def _panel(axes: Axes, outcome: Outcome, name: str) -> None:
    for split, colour in _SPLITS.items():
        points = [(row["epoch"] + 1, row[f"{split}/{name}"]) for row in outcome.history if f"{split}/{name}" in row]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=2, marker="o", markersize=3, label=split)
    if name == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    if name == outcome.metric:
        axes.axhline(outcome.baseline, color="#555555", linewidth=1, linestyle=":", label=BASELINES[name])
    _mark_best(axes, outcome, name)
    axes.set(title=name, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _mark_best(axes: Axes, outcome: Outcome, name: str) -> None:
    """A ring around the selected epoch's validation value, which is written beside it."""
    for row in outcome.history:
        if row["epoch"] == outcome.best_epoch and f"val/{name}" in row:
            value = row[f"val/{name}"]
            shown = f"{value:.1%}" if name == "accuracy" else f"{value:.3f}"
            label = f"selected: epoch {outcome.best_epoch + 1}, {shown}"
            axes.plot(row["epoch"] + 1, value, "o", color=_BEST, markersize=9, fillstyle="none", mew=2, label=label)
