"""Gray values are Pillow's, floats are those of the published formulas."""

import numpy as np
import pytest
import torch
from PIL import Image

from longrange.data.pixels import Scaled, as_tokens, gray


def test_gray_is_that_of_pillow():
    colours = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    assert np.array_equal(gray(colours), np.asarray(Image.fromarray(colours).convert("L")))


def test_gray_of_gray_is_itself():
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(gray(np.stack([values] * 3, -1)), values)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1)])
def test_one_channel_by_the_published_formula(shape):
    rows = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    scaled = Scaled((122.6 / 255,), (61.0 / 255,))(rows)
    assert scaled.shape == (4, 6, 1)
    assert scaled.dtype == torch.float32
    torch.testing.assert_close(scaled.double(), (torch.from_numpy(rows).view(4, 6, 1).double() - 122.6) / 61)


def test_each_channel_for_itself():
    rows = np.random.default_rng(2).integers(0, 256, (3, 5, 3), np.uint8)
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
    torch.testing.assert_close(Scaled(mean, std)(rows), torch.from_numpy((rows / 255 - mean) / std).float())


def test_pixels_in_another_order():
    rows, order = np.arange(12, dtype=np.uint8).reshape(2, 6), np.array([5, 0, 1, 2, 3, 4])
    assert Scaled(order=order)(rows)[..., 0].mul(255).round().tolist() == rows[:, order].tolist()


def test_tokens_are_the_bytes():
    rows = np.arange(256, dtype=np.uint8).reshape(2, 128)
    tokens = as_tokens(rows)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == rows.tolist()
