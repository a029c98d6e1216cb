"""The learning curve of a run as a picture: loss and selection metric of both splits, after each epoch (from 1)."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from longrange.pictures import BLUE, DARK, GREY, RED, picture
from longrange.training.outcome import BASELINES, Outcome

_SPLITS = {"train": GREY, "val": BLUE}
_BEST = RED


def learning_curve(outcome: Outcome, path: Path) -> Path:
    """Draw loss and metric over the epochs, the selected epoch and the baseline marked.

    Args:
        outcome: the measured facts of the training.
        path: the PNG file to write.
    Returns:
        The file.
    """
    names = list(dict.fromkeys(["loss", outcome.metric]))
    with picture(path, 4.6 * len(names), 3.4) as figure:
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            _panel(axes, outcome, name)
    return path


def _panel(axes: Axes, outcome: Outcome, name: str) -> None:
    for split, colour in _SPLITS.items():
        points = [(row["epoch"] + 1, row[f"{split}/{name}"]) for row in outcome.history if f"{split}/{name}" in row]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=split)
    if name == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    if name == outcome.metric:
        axes.axhline(outcome.baseline, color=DARK, linewidth=1, linestyle=":", label=BASELINES[name])
    _mark_best(axes, outcome, name)
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()


def _mark_best(axes: Axes, outcome: Outcome, name: str) -> None:
    """A ring around the selected epoch's validation value, which is written beside it."""
    for row in outcome.history:
        if row["epoch"] == outcome.best_epoch and f"val/{name}" in row:
            value = row[f"val/{name}"]
            shown = f"{value:.1%}" if name == "accuracy" else f"{value:.3f}"
            label = f"selected: epoch {outcome.best_epoch + 1}, {shown}"
            axes.plot(row["epoch"] + 1, value, "o", color=_BEST, markersize=9, fillstyle="none", mew=2, label=label)
