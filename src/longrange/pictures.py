"""Pictures of one look, as PNG files that are whole or not there."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import cycler, rc_context
from matplotlib.figure import Figure

from longrange.whole_files import write_whole

BLUE, LIGHT_BLUE, RED, GREEN = "#1f5fa8", "#4d9de0", "#d1495b", "#3b8b5a"
GREY, DARK = "#8a96a3", "#555555"  # what others are held against; rules and remarks

_STYLE = {
    "axes.prop_cycle": cycler(color=[BLUE, RED, LIGHT_BLUE, GREEN]),
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.titlesize": 10,
    "figure.labelsize": 9,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator[Figure]:
    """An empty figure to draw in, written when the block ends; the same drawing gives the same bytes.

    Args:
        path: the PNG file; its folder is made.
        width: in inches, of 150 dots each.
        height: in inches.
    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    content = io.BytesIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.savefig(content, format="png", dpi=150, metadata={"Software": None})
    write_whole(path, content.getvalue())
