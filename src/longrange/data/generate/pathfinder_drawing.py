"""Pixels of a paddle and of a disc, as the published images have them.

Both are drawn in black and white at twice the resolution and reduced with a Lanczos filter of three lobes, in 8 bits
and with the rounding of the Pillow library, which drew the published images: the faint ripple round every shape is
part of the task's data. Pixel coordinates are (y, x).
"""

import math

import numpy as np

SCALE = 2
_LOBES = 3
_WEIGHT_BITS = 22  # the filter's weights are integers, so that every machine rounds alike


def displacement(distance: float, angle: np.ndarray | float) -> np.ndarray:
    """The integer step that lies `distance` away in the direction `angle`, rounded up: (..., 2)."""
    step = distance * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    return np.ceil(step.round(9)).astype(np.int64)  # a whole number plus an error of rounding is that number


def offsets_within(radius: float) -> np.ndarray:
    """All integer (y, x) at most `radius` from (0, 0): (n, 2)."""
    reach = math.floor(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.argwhere(y**2 + x**2 <= radius**2) - reach


def paddle(angle: float, length: int, thickness: float, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """A paddle that starts in the middle pixel of a square and points in the direction `angle`.

    Args:
        angle: in radians, 0 along x, positive towards larger y.
        length, thickness: in pixels; the thickness is a multiple of a half.
        margin: how far other paddles stay away, in pixels.
    Returns:
        Its brightness and what it blocks for others, both (S, S) uint8, S = 2 (length + ceil(thickness) + margin) + 1.
    """
    half = length + math.ceil(thickness) + margin
    line = line_offsets(displacement(length * SCALE, angle), round(thickness * SCALE))
    wide = (line[:, None] + offsets_within(margin * SCALE)).reshape(-1, 2)
    return _reduced(line, half), _reduced(wide, half)


def disc(radius: float) -> np.ndarray:
    """A filled disc round the first corner of the middle pixel of a square: (S, S) uint8."""
    half = math.ceil(radius) + _LOBES
    size = 2 * half + 1
    drawn = np.zeros((SCALE * size, SCALE * size), np.uint8)
    drawn[tuple((offsets_within(radius * SCALE) + SCALE * half).T)] = 255
    return reduce(drawn, size)


def line_offsets(end: np.ndarray, width: int) -> np.ndarray:
    """Pixels of the line from (0, 0) to `end` (2,), an integer number of pixels wide: (n, 2).

    A line of width 1 has one pixel at each step of its longer direction. A wider one is the quadrilateral beside it,
    half its width to either side in whole pixels, the odd one towards larger y or x.
    """
    if width == 1:
        steps = np.arange(np.abs(end).max() + 1)[:, None]
        along = steps * np.abs(end) / max(np.abs(end).max(), 1)
        return (np.sign(end) * np.floor(along + 0.5)).astype(np.int64)
    less, more = (width - 1) // 2, width // 2
    across = np.array([[more, -less], [-less, more]]) * (end[::-1] / math.hypot(*end))
    one, other = (np.sign(across) * np.ceil(np.abs(across) - 0.5)).astype(np.int64)
    return _filled(np.array([one, end + one, end + other, other]))


def reduce(image: np.ndarray, size: int) -> np.ndarray:
    """Reduce a square image to (size, size), rows first and then columns, each rounded to 8 bits.

    Args:
        image: (n, n) uint8.
        size: at most n.
    """
    weights = _lanczos(len(image), size)
    half = 1 << (_WEIGHT_BITS - 1)
    rows = np.clip((image @ weights.T + half) >> _WEIGHT_BITS, 0, 255)
    return np.clip((weights @ rows + half) >> _WEIGHT_BITS, 0, 255).astype(np.uint8)


def _reduced(offsets: np.ndarray, half: int) -> np.ndarray:
    """Pixels round the middle of a drawing whose reduced form is (2 half + 1, 2 half + 1)."""
    middle = half * SCALE
    drawn = np.zeros((2 * middle + 1, 2 * middle + 1), np.uint8)
    inside = (np.abs(offsets) <= middle).all(axis=1)
    drawn[tuple((offsets[inside] + middle).T)] = 255
    return reduce(drawn, 2 * half + 1)


def _filled(corners: np.ndarray) -> np.ndarray:
    """Pixels of a convex quadrilateral, (4, 2) integers: in each row those between its edges, rounded inwards."""
    rows = []
    for y in range(corners[:, 0].min(), corners[:, 0].max() + 1):
        crossings = [x for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True) for x in _crossing(a, b, y)]
        rows += [(y, x) for x in range(math.floor(min(crossings) + 0.5), math.ceil(max(crossings) - 0.5) + 1)]
    return np.array(rows)


def _crossing(a: np.ndarray, b: np.ndarray, y: int) -> list[float]:
    """Where the edge from a to b meets row y: nowhere, in one place, or from end to end."""
    if not min(a[0], b[0]) <= y <= max(a[0], b[0]):
        return []
    return [a[1], b[1]] if a[0] == b[0] else [a[1] + (y - a[0]) * (b[1] - a[1]) / (b[0] - a[0])]


def _lanczos(n: int, size: int) -> np.ndarray:
    """Weights that reduce n samples to `size`, in units of 2**-22: (size, n) int64."""
    ratio = n / size
    centre = (np.arange(size)[:, None] + 0.5) * ratio
    sample = np.arange(n)
    x = (sample + 0.5 - centre) / ratio
    reach = _LOBES * ratio
    taken = (
        (sample >= np.trunc(centre - reach + 0.5)) & (sample < np.trunc(centre + reach + 0.5)) & (np.abs(x) < _LOBES)
    )
    weights = np.where(taken, np.sinc(x) * np.sinc(x / _LOBES), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.floor(weights * 2**_WEIGHT_BITS + 0.5).astype(np.int64)
