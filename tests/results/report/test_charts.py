"""Curves as geometry."""

import re

import pytest

from longrange.results.report.charts import BOTTOM, HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH, Line, chart, sparkline


def coordinates(path: str) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split())) for pair in re.split("[ML]", path.removesuffix("h0")) if pair]


def test_curves_lie_in_the_panel_where_their_values_say():
    drawn = chart("loss", [Line("a", "c0", [(1, 2.0), (2, 1.0), (3, 1.5)])])
    (low, top), (middle, bottom), (high, between) = coordinates(drawn.lines[0][1])
    assert (low, high) == (LEFT, WIDTH - RIGHT)
    assert middle == pytest.approx((low + high) / 2, abs=0.1)
    assert TOP <= top < between < bottom <= HEIGHT - BOTTOM
    assert between == pytest.approx((top + bottom) / 2, abs=0.1)
    for position, label in drawn.y_ticks:
        assert position == pytest.approx(bottom - (float(label) - 1) * (bottom - top), abs=0.15)
    assert [label for _, label in drawn.x_ticks] == ["1", "2", "3"]


def test_a_wide_range_is_logarithmic_and_shares_are_percent():
    drawn = chart("loss", [Line("a", "c0", [(1, 1000.0), (2, 10.0), (3, 0.1)])])
    heights = [y for _, y in coordinates(drawn.lines[0][1])]
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2, abs=0.1)
    assert {"100", "1"} <= {label for _, label in drawn.y_ticks}
    shares = chart("accuracy", [Line("a", "c0", [(1, 0.001), (2, 0.9)])], percent=True, level=0.5)
    heights = {label: y for y, label in shares.y_ticks}
    assert (heights["40%"] + heights["60%"]) / 2 == pytest.approx(shares.level, abs=0.1)


def test_the_selected_epoch_is_marked_on_its_curve():
    drawn = chart("accuracy", [Line("val", "val", [(1, 0.4), (2, 0.6), (3, 0.5)])], percent=True, mark=(2, 0.6))
    assert drawn.mark[:2] == coordinates(drawn.lines[0][1])[1]
    assert drawn.mark[2] == "selected: epoch 2, 60%"


@pytest.mark.parametrize(
    "points",
    [
        [(1, 0.0)],
        [(1, 1e20), (2, 1e20)],
        [(1, 3e38), (2, -3e38)],
        [(1, 1e-300), (2, 1e-300), (3, 2e-300)],
        [(5, 1.0), (6, 2.0)],
        [(0, 1.0), (-3, 2.0)],
        [(1, 1.0), (1e12, 2.0)],
    ],
)
def test_odd_curves_are_drawn_with_numbers_only(points):
    drawn = chart("loss", [Line("a", "c0", points)])
    assert "nan" not in drawn.lines[0][1]
    assert "inf" not in drawn.lines[0][1]
    assert len(drawn.y_ticks) < 12
    assert len(drawn.x_ticks) < 12


def test_no_points_draw_nothing():
    assert chart("loss", []) is None
    assert chart("loss", [Line("a", "c0", [])]) is None
    assert sparkline([]) is None


def test_long_curves_keep_their_ends_only_so_many_points_between():
    points = [(epoch, 1 / epoch) for epoch in range(1, 5001)]
    path = coordinates(chart("loss", [Line("a", "c0", points)]).lines[0][1])
    assert len(path) <= MOST_POINTS
    assert (path[0][0], path[-1][0]) == (LEFT, WIDTH - RIGHT)
