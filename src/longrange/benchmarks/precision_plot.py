"""Trainings in two precisions as a picture: the curves, and the distance of their means beside the noise of seeds."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from longrange.benchmarks.precision_noise import noise_along
from longrange.pictures import BLUE, DARK, GREY, RED, picture
from longrange.provenance import device_name, setting_name

_COLOURS = {"float32": BLUE, "bf16": RED}
_DASHES = {"float32": "-", "bf16": (0, (4, 2))}  # where both are one line, both are seen


def draw_curves(path: Path, summary: dict[str, Any], curves: dict[str, np.ndarray]) -> None:
    """Draw the curves, a thin line for each seed and a thick one for their mean, and below the distance of the means.

    Args:
        path: the PNG file to write.
        summary: of the trainings, see `precision`.
        curves: float32 and bf16, each (n, points), smoothed.
    """
    steps = np.arange(summary["window"], summary["steps"] + 1)
    with picture(path, 8, 5.6) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.3])
        _curves(above, steps, curves)
        _distance(below, steps, curves)
        above.set_title(_title(summary))
        below.set_xlabel(f"optimizer step; each point is the mean of the last {summary['window']}")


def _curves(axes: Axes, steps: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    for kind, own in curves.items():
        axes.plot(steps, own.T, color=_COLOURS[kind], linewidth=0.9, linestyle=_DASHES[kind], alpha=0.5)
    for kind, own in curves.items():
        mean = {"color": _COLOURS[kind], "linewidth": 2.4, "linestyle": _DASHES[kind], "label": f"{kind}, mean"}
        axes.plot(steps, own.mean(0), **mean)
    axes.plot([], [], color=DARK, linewidth=0.9, label="one seed")
    axes.set_ylabel("training loss")
    axes.legend(ncols=3)


def _distance(axes: Axes, steps: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    noise = noise_along(curves["float32"])
    axes.fill_between(steps, -noise, noise, color=GREY, alpha=0.35, linewidth=0, label="± noise of seeds")
    difference = curves["bf16"].mean(0) - curves["float32"].mean(0)
    axes.axhline(0, color=DARK, linewidth=0.6)
    axes.plot(steps, difference, color=_COLOURS["bf16"], linewidth=1.4, label="bf16 minus float32, means")
    axes.set_ylabel("difference in loss")
    axes.margins(y=0.35)  # room for the legend
    axes.legend(ncols=3)


def _title(summary: dict[str, Any]) -> str:
    verdict = "within" if summary["within_noise"] else "beyond"
    size = f"batch {summary['batch_size']}, {device_name(summary)}"
    return f"{setting_name(summary)}: {len(summary['seeds'])} seeds each, {verdict} noise\n{size}"
