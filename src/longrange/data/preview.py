"""A picture of a few examples of a task with their labels, to see that they are what they should be."""

import textwrap
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from longrange.data.files import writing
from longrange.pictures import picture

_WIDTH = 12.0  # inches
_LINE, _LINES = 176, 6


def draw(title: str, examples: Sequence[tuple[str, Any, str]], path: Path) -> None:
    """Write one picture.

    Args:
        title: above all examples.
        examples: (kind, data, label) each, all of one kind: "image" with (H, W) or (H, W, 3) uint8; "text" with a
            string, its parts between empty lines; "wave" with an array (n,) or (n, C) and its rate in samples per
            second.
        path: the PNG file.

    Raises:
        DataError: the file cannot be written.
    """
    columns = _columns(*examples[0][:2])
    height = max(_height(kind, data, _WIDTH / columns) for kind, data, _ in examples)
    rows = -(-len(examples) // columns)
    with writing(path), picture(path, _WIDTH, 0.5 + rows * height) as figure:
        figure.suptitle(title, x=0.01, ha="left", parse_math=False)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (kind, data, label) in zip(panels, examples, strict=False):
            _DRAW[kind](axes, data)
            axes.set_title(str(label), parse_math=False)
        for axes in panels[len(examples) :]:
            axes.set_axis_off()


def _columns(kind: str, data: Any) -> int:
    if kind == "image":
        return 4 if data.shape[1] < 3 * data.shape[0] else 2
    return {"text": 1, "wave": 2}[kind]


def _height(kind: str, data: Any, width: float) -> float:
    """Inches that a panel needs with its label."""
    if kind == "image":
        return 0.35 + width * data.shape[0] / data.shape[1]
    return 0.4 + 0.13 * len(_lines(data)) if kind == "text" else 1.6


def _image(axes: Axes, pixels: np.ndarray) -> None:
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


def _text(axes: Axes, text: str) -> None:
    axes.text(0, 1, "\n".join(_lines(text)), va="top", family="monospace", fontsize=7.5, parse_math=False)
    axes.set_axis_off()


def _lines(text: str) -> list[str]:
    """The first lines of each part; what the typewriter face lacks (other scripts than Latin) shows as a box."""
    parts = ["".join(map(_shown, part)) for part in text.split("\n\n")][:_LINES]
    wrapped = (textwrap.wrap(part, _LINE, max_lines=_LINES // len(parts), placeholder=" ...") for part in parts)
    return list(chain.from_iterable(wrapped))


def _shown(character: str) -> str:
    in_face = character < "\u0250" or "\u2010" <= character <= "\u2027"
    return character if character.isprintable() and in_face else "\u25a1"


def _wave(axes: Axes, samples_and_rate: tuple[np.ndarray, float]) -> None:
    samples, rate = samples_and_rate
    axes.plot(np.arange(len(samples)) / rate, samples, linewidth=0.6)
    axes.set(xlabel="time, s", ylabel="amplitude")
    axes.margins(x=0)


_DRAW = {"image": _image, "text": _text, "wave": _wave}
