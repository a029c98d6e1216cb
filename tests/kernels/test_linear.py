"""The linear map by convolution against the plain one."""

import sys

import pytest
import torch
from torch.nn import functional as F

from longrange.kernels import linear
from longrange.kernels.linear import _images, _suits_convolution, _suits_transposed


@pytest.fixture(autouse=True, params=["amd", "other"])
def cpu(request, monkeypatch):
    """Which processor the kernel takes this one for."""
    monkeypatch.setattr(sys.modules[linear.__module__], "is_amd", lambda: request.param == "amd")
    return request.param


@pytest.mark.parametrize(
    ("B", "L", "K", "N"),
    [
        *[(2, 300, 64, 96), (1, 1024, 70, 65), (1, 512, 32, 9), (1, 1024, 1, 16), (2, 3, 5, 4)],
        *[(2, 2048, 80, 16), (3, 1700, 16, 80), (5, 1023, 64, 80)],  # several images, or one by no power of two
    ],
)
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_plain_product_in_outputs_and_gradients(B, L, K, N, with_bias):
    torch.manual_seed(0)
    inputs = [torch.randn(B, L, K), torch.randn(N, K)] + ([torch.randn(N)] if with_bias else [])
    inputs = [t.requires_grad_() for t in inputs]
    cotangent = torch.randn(B, L, N)
    results = []
    for function in (linear, F.linear):
        y = function(*inputs)
        results.append([y, *torch.autograd.grad((y * cotangent).sum(), inputs)])
    for ours, plain in zip(*results, strict=True):
        assert (ours - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_only_float32_products_over_many_steps_take_the_convolution(cpu):
    weight, wide = torch.zeros(64, 80), torch.zeros(2, 300, 80)
    assert _suits_convolution(wide, weight) == (cpu == "amd")
    assert not _suits_convolution(wide.double(), weight.double())
    assert not _suits_convolution(wide[:, 0], weight)
    assert not _suits_convolution(wide, weight[:4])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not _suits_convolution(wide, weight)


def test_images_are_of_about_1000_steps_and_the_same_memory():
    for steps, images in ((1, 1), (1023, 1), (1024, 1), (2047, 1), (2048, 2), (8192, 8), (102400, 64), (5115, 1)):
        x = torch.zeros(1, steps, 3)
        y = _images(x)
        assert y.shape == (images, 3, 1, steps // images)
        assert y.data_ptr() == x.data_ptr()
        assert y.is_contiguous(memory_format=torch.channels_last)


def test_which_products_are_transposed():
    narrow, wide, widest = [(16, 128), (63, 64)], [(64, 128), (200, 300)], [(256, 300), (512, 1024)]
    assert [_suits_transposed(torch.zeros(*shape)) for shape in narrow + wide + widest] == [True] * 2 + [False] * 4
    turned = [_suits_transposed(torch.zeros(*shape[::-1])) for shape in narrow + wide + widest]
    assert turned == [False] * 2 + [True] * 2 + [False] * 2
