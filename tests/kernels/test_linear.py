"""The linear map by convolution against the plain one."""

import pytest
import torch
from torch.nn import functional as F

from longrange.kernels import linear
from longrange.kernels.linear import _suits_convolution


@pytest.mark.parametrize(("B", "L", "K", "N"), [(2, 300, 7, 5), (1, 1024, 1, 16), (4, 64, 32, 3), (2, 3, 5, 4)])
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


def test_only_long_float32_inputs_take_the_convolution():
    assert _suits_convolution(torch.zeros(2, 300, 8))
    assert not _suits_convolution(torch.zeros(2, 300, 8, dtype=torch.float64))
    assert not _suits_convolution(torch.zeros(2, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not _suits_convolution(torch.zeros(2, 300, 8))
