"""The linear map by convolution against the plain one."""

import sys

import pytest
import torch
from torch.nn import functional as F

from longrange.kernels import linear, round_projections
from longrange.kernels.linear import _images, _suits_convolution
from tests.backends import gpu_only, with_gradients


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


@pytest.fixture
def rounding():
    """Projections are rounded on a GPU."""
    round_projections(True)
    yield
    round_projections(False)


@pytest.mark.parametrize("with_bias", [True, False])
def test_products_on_tensor_cores_are_those_of_the_plain_map_and_torchs_setting_comes_back(
    with_bias, rounding, monkeypatch
):
    """Which way a product takes, without a GPU: a CPU rounds nothing."""
    asked = []
    set_precision = torch.set_float32_matmul_precision
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda name: (asked.append(name), set_precision(name)))
    monkeypatch.setattr(sys.modules[linear.__module__], "_suits_tensor_cores", lambda x, weight: True)
    torch.manual_seed(0)
    inputs = [torch.randn(2, 7, 5), torch.randn(3, 5)] + ([torch.randn(3)] if with_bias else [])
    cotangent = torch.randn(2, 7, 3)
    ours = with_gradients(linear, inputs, cotangent, "auto")
    assert asked == ["high", "highest"] * 2
    for one, plain in zip(ours, with_gradients(F.linear, inputs, cotangent, "auto"), strict=True):
        torch.testing.assert_close(one, plain)


def test_a_rounded_product_computes_the_gradients_that_are_wanted_alone(rounding, monkeypatch):
    monkeypatch.setattr(sys.modules[linear.__module__], "_suits_tensor_cores", lambda x, weight: True)
    x, weight = torch.randn(4, 5), torch.randn(3, 5, requires_grad=True)
    linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(3, 5))


def test_nothing_is_rounded_on_a_cpu(rounding):
    x, weight = torch.randn(300, 64), torch.randn(64, 64)
    assert (linear(x, weight) - x.double() @ weight.double().T).abs().max() < 1e-4


@gpu_only
@pytest.mark.parametrize(("rounds", "least", "most"), [(True, 1e-5, 2e-3), (False, 0, 5e-6)])
def test_a_gpu_rounds_factors_where_it_is_told_to(rounds, least, most):
    torch.manual_seed(0)
    inputs, cotangent = [torch.randn(2, 300, 64), torch.randn(96, 64)], torch.randn(2, 300, 96)
    exact = with_gradients(F.linear, [t.double() for t in inputs], cotangent.double(), "auto")
    try:
        round_projections(rounds)
        ours = with_gradients(linear, [t.cuda() for t in inputs], cotangent.cuda(), "auto")
    finally:
        round_projections(False)
    for one, true in zip(ours, exact, strict=True):
        assert least <= (one.cpu() - true).abs().max() / true.abs().max() <= most
