"""Learning curves as geometry: what the page writes as inline SVG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 26
MOST_POINTS = 120  # of a line: closer ones cannot be told apart
_AIR = 5.0  # between the curves and the panel's lower and upper end
_LOGARITHMIC = 30.0  # from this ratio on of the largest to the smallest value

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: what it shows.
        style: its CSS class.
        points: (epoch counted from 1, value), in the order of the epochs.
        run: the run it belongs to, where the page can hide it.
    """

    name: str
    style: str
    points: Points
    run: str | None = None


@dataclass(frozen=True)
class Chart:
    """A panel ready to be written; lengths in units of its view box, WIDTH x HEIGHT.

    Attributes:
        title: its heading.
        lines: each with its path.
        x_ticks: (position, label).
        y_ticks: (position, label).
        level: height of the dotted line, e.g. of a baseline.
        mark: (x, y, label) of the ring around the selected epoch.
    """

    title: str
    lines: Sequence[tuple[Line, str]]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    level: float | None = None
    mark: tuple[float, float, str] | None = None


def chart(
    title: str,
    lines: Iterable[Line],
    *,
    percent: bool = False,
    level: float | None = None,
    mark: tuple[float, float] | None = None,
) -> Chart | None:
    """Lay out a panel; None where no line has a point.

    Args:
        title: its heading.
        lines: the curves.
        percent: values are fractions, to be labelled in percent.
        level: a value to draw a dotted line at.
        mark: (epoch counted from 1, value) to draw a ring around.
    """
    drawn = [line for line in lines if line.points]
    if not drawn:
        return None
    last = max(line.points[-1][0] for line in drawn)
    values = [value for line in drawn for _, value in line.points]
    values += [value for value in (level, mark and mark[1]) if value is not None]
    x = _Scale(1.0, last, LEFT, WIDTH - RIGHT)
    y = _Scale(min(values), max(values), HEIGHT - BOTTOM - _AIR, TOP + _AIR, logarithmic=not percent)
    return Chart(
        title,
        [(line, _path([(x(epoch), y(value)) for epoch, value in line.points])) for line in drawn],
        [(x(tick), f"{tick:g}") for tick in _whole_ticks(last)],
        [(y(tick), _label(tick, percent)) for tick in y.ticks()],
        None if level is None else y(level),
        None if mark is None else (x(mark[0]), y(mark[1]), f"selected: epoch {mark[0]}, {_label(mark[1], percent)}"),
    )


def sparkline(values: Sequence[float], width: float = 72, height: float = 16) -> str | None:
    """The path of a curve without axes; None without values."""
    if not values:
        return None
    x = _Scale(0, len(values) - 1, 1.5, width - 1.5)
    y = _Scale(min(values), max(values), height - 1.5, 1.5)
    return _path([(x(place), y(value)) for place, value in enumerate(values)])


class _Scale:
    """From values to positions."""

    def __init__(self, low: float, high: float, start: float, end: float, logarithmic: bool = False):
        self.log = logarithmic and low > 0 and high / low > _LOGARITHMIC
        if low == high:
            low, high = low - (abs(low) / 10 or 1.0), high + (abs(high) / 10 or 1.0)
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        f = math.log10 if self.log else float
        share = (f(value) - f(self.low)) / (f(self.high) - f(self.low))
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """A few round values within."""
        locators = [MaxNLocator(nbins=5)]
        if self.log:
            locators = [LogLocator(numticks=5), LogLocator(subs=(1.0, 3.0), numticks=5)]
        for locator in locators:
            found = [float(tick) for tick in locator.tick_values(self.low, self.high)]
            found = [tick for tick in found if self.low <= tick <= self.high]
            if len(found) > 2:
                break
        return found


def _whole_ticks(last: float) -> list[float]:
    found = MaxNLocator(nbins=6, integer=True).tick_values(1, max(last, 2))
    return [tick for tick in {1.0, *map(float, found)} if 1 <= tick <= last]


def _label(value: float, percent: bool) -> str:
    return f"{100 * value:.3g}%" if percent else f"{value:.3g}"


def _path(points: Points) -> str:
    """SVG's path through some of the points, the first and the last among them; a dot for a single one."""
    steps = max(1, math.ceil((len(points) - 1) / (MOST_POINTS - 1)))
    kept = [*points[:-1:steps], points[-1]]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in kept) + ("h0" if len(kept) == 1 else "")
