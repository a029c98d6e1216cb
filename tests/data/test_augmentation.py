"""Moved and mirrored images: the published crop, evenly spread, the same in every run."""

import numpy as np
import pytest
import torch

from longrange.data.arrays import ArrayDataset, write_arrays
from longrange.data.augmentation import Augmented, DatedSampler, moved_and_mirrored
from longrange.data.pixels import as_tokens
from longrange.data.samplers import EpochSampler

SIDE = 16


def crops(image: np.ndarray) -> list[bytes]:
    """All 81 places of a crop from the padded image, each as it is and mirrored."""
    padded = np.pad(image, ((4, 4), (4, 4), *[(0, 0)] * (image.ndim - 2)), "symmetric")
    places = [padded[y : y + SIDE, x : x + SIDE] for y in range(9) for x in range(9)]
    return [crop.tobytes() for place in places for crop in (place, place[:, ::-1])]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_every_crop_comes_about_equally_often(channels):
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, *channels), np.uint8)
    n = 162 * 50
    rows = np.broadcast_to(image.reshape(SIDE * SIDE, *channels), (n, SIDE * SIDE, *channels))
    moved = moved_and_mirrored(rows, 0, np.zeros(n, np.int64), np.arange(n))
    assert moved.shape == rows.shape
    expected = crops(image)
    counts = np.bincount([expected.index(one.tobytes()) for one in moved], minlength=162)
    assert ((counts - 50) ** 2 / 50).sum() < 162 + 6 * np.sqrt(2 * 162)  # chi squared, six deviations above its mean


def test_seed_epoch_and_index_decide():
    image = np.random.default_rng(1).integers(0, 256, (1, 1024), np.uint8)

    def moved(seed, epoch, index):
        return moved_and_mirrored(image, seed, np.array([epoch]), np.array([index])).tobytes()

    assert moved(1, 2, 3) == moved(1, 2, 3)
    for others in ("seed", "epoch", "index"):
        keys = [{"seed": 1, "epoch": 2, "index": 3} | {others: value} for value in range(40)]
        assert len({moved(**key) for key in keys}) > 20
    assert len({moved(epoch, 10 - epoch, 0) for epoch in range(10)}) > 5  # they are not merely added


@pytest.fixture
def split(tmp_path) -> ArrayDataset:
    images = np.random.default_rng(2).integers(0, 256, (10, SIDE * SIDE), np.uint8)
    write_arrays(tmp_path / "train", images, np.arange(10))
    return ArrayDataset(tmp_path / "train", as_tokens)


def test_a_batch_holds_moved_images_and_their_targets(split):
    epochs, indices = np.array([7, 7]), np.array([4, 1])
    inputs, lengths, targets = Augmented(split, seed=5).__getitems__([74, 71])
    assert torch.equal(inputs, as_tokens(moved_and_mirrored(split.inputs[indices], 5, epochs, indices)))
    assert lengths is None
    assert targets.tolist() == [4, 1]


def test_order_is_the_usual_one_with_the_epoch():
    usual, dated = EpochSampler(30, seed=4), DatedSampler(30, seed=4)
    for epoch in (0, 3):
        usual.set_epoch(epoch)
        dated.set_epoch(epoch)
        assert list(dated) == [index + 30 * epoch for index in usual]
    assert len(dated) == 30
