"""The learning curve."""

import dataclasses

import matplotlib.image
import numpy as np
from matplotlib.colors import to_rgb

from longrange.results import plot


def share_of(colour: str, picture: np.ndarray) -> float:
    """The share of a picture's pixels that are close to a colour."""
    return (np.abs(picture[..., :3] - to_rgb(colour)).max(-1) < 0.08).mean()


def test_the_picture_shows_both_splits_and_the_selected_epoch(outcome, tmp_path):
    path = plot.learning_curve(outcome, tmp_path / "curve.png")
    picture = matplotlib.image.imread(path)
    assert picture.shape[1] > picture.shape[0] > 300
    for colour in [*plot._SPLITS.values(), plot._BEST]:
        assert 1e-4 < share_of(colour, picture) < 0.1


def test_a_split_that_was_not_measured_is_left_out(outcome, tmp_path):
    rows = [{key: value for key, value in row.items() if not key.startswith("train/")} for row in outcome.history]
    pictures = [
        matplotlib.image.imread(plot.learning_curve(dataclasses.replace(outcome, history=history), tmp_path / "c.png"))
        for history in (outcome.history, rows)
    ]
    with_train, without = (share_of(plot._SPLITS["train"], picture) for picture in pictures)
    assert without < 0.2 * with_train


def test_a_regression_is_drawn_beside_the_training_mean(outcome, tmp_path):
    history = [row | {"train/rmse": row["train/loss"], "val/rmse": row["val/loss"]} for row in outcome.history]
    regression = dataclasses.replace(outcome, metric="rmse", history=history, baseline=2.0)
    picture = matplotlib.image.imread(plot.learning_curve(regression, tmp_path / "curve.png"))
    without = dataclasses.replace(regression, baseline=float("nan"))
    bare = matplotlib.image.imread(plot.learning_curve(without, tmp_path / "bare.png"))
    halves = [(image[:, : image.shape[1] // 2], image[:, image.shape[1] // 2 :]) for image in (picture, bare)]
    assert (halves[0][0] == halves[1][0]).all()
    assert share_of("#555555", halves[0][1]) > share_of("#555555", halves[1][1])


def test_the_only_epoch_of_a_run_is_drawn(outcome, tmp_path):
    short = dataclasses.replace(outcome, history=outcome.history[:1], best_epoch=0)
    picture = matplotlib.image.imread(plot.learning_curve(short, tmp_path / "curve.png"))
    assert share_of(plot._BEST, picture) > 1e-4
