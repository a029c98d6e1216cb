"""A picture of a few examples of a task with their labels, to see that they are what they should be."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longrange.data.files import writing

_LINE, _LINES = 190, 6
_NOT_LATIN, _BOX = "\u0250", "\u25a1"


def draw(title: str, examples: Sequence[tuple[str, object, str]], path: Path) -> None:
    """Write one picture.

    Args:
        title: above all examples.
        examples: (kind, data, label) each: "image" with (H, W) or (H, W, 3) uint8; "text" with a string; "wave" with
            an array (n,) or (n, C) and its rate in samples per second.
        path: the PNG file.

    Raises:
        DataError: the file cannot be written.
    """
    columns = 4 if all(kind == "image" for kind, *_ in examples) else 2
    if any(kind == "text" for kind, *_ in examples):
        columns = 1
    rows, height = -(-len(examples) // columns), {4: 3.2, 2: 1.6, 1: 1.1}[columns]
    figure = Figure(figsize=(12, 0.5 + rows * height), layout="constrained")
    figure.suptitle(title, parse_math=False)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (kind, data, label) in zip(panels, examples, strict=False):
        _DRAW[kind](axes, data)
        axes.set_title(str(label), fontsize=10, loc="left", parse_math=False)
    for axes in panels[len(examples) :]:
        axes.set_axis_off()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100)


def _image(axes: Axes, pixels: np.ndarray) -> None:
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


def _text(axes: Axes, text: str) -> None:
    """The first lines, in a typewriter face; what it lacks (other scripts than Latin) shows as a box."""
    printable = "".join(character if character.isprintable() and character < _NOT_LATIN else _BOX for character in text)
    lines = textwrap.wrap(printable, _LINE, max_lines=_LINES, placeholder=" ...", drop_whitespace=False)
    axes.text(0, 1, "\n".join(lines), va="top", family="monospace", fontsize=7.5, parse_math=False)
    axes.set_axis_off()


def _wave(axes: Axes, samples_and_rate: tuple[np.ndarray, float]) -> None:
    samples, rate = samples_and_rate
    axes.plot(np.arange(len(samples)) / rate, samples, linewidth=0.6)
    axes.set_xlabel("seconds", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.margins(x=0)


_DRAW = {"image": _image, "text": _text, "wave": _wave}
