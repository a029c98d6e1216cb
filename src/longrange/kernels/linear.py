"""The linear map of every projection, by the fastest library routine for where the tensors are."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import gcd

import torch
from llvmlite.binding import get_host_cpu_name
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from longrange.kernels import backend
from longrange.kernels.pairs_cpu import MULTIPLIES_PAIRS

_rounded = False


def round_projections(on: bool) -> None:
    """Let a GPU's tensor cores take float32 projections, for the whole process, until told otherwise.

    They round factors to TensorFloat-32, 10 bits after the leading one, and add up in float32. Everything else, and all
    of it on a CPU, is as before: powers of a state matrix would not survive such factors.
    """
    global _rounded
    _rounded = on


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b over the last axis.

    On AMD's CPUs in float32 a product over many steps goes through oneDNN as a 1 x 1 convolution over
    channels-last memory: the same matrix product without a copy, and faster there than the BLAS call behind `F.linear`,
    which is made for Intel's (`python scripts/benchmark.py experiment=image/s5 data.batch_size=4 benchmark=linear`).

    Args:
        x: (..., K) float.
        weight: (N, K) float.
        bias: (N,) float.
    Returns:
        (..., N) float.
    """
    if _suits_tensor_cores(x, weight):
        return _Rounded.apply(x, weight, bias)
    if not _suits_convolution(x, weight):
        return F.linear(x, weight, bias)
    y = F.conv2d(_images(x), weight[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _images(x: Tensor) -> Tensor:
    """(..., K) as images of one row and about 1,000 pixels, (n, K, 1, M): what one needs stays in the cache."""
    steps = x.numel() // x.shape[-1]
    n = gcd(steps, 2 ** max((steps // 1024).bit_length() - 1, 0))
    return x.reshape(n, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)


def _suits_convolution(x: Tensor, weight: Tensor) -> bool:
    if backend.resolve(x.device) != "cpu" or not is_amd():
        return False
    float32 = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return float32 and x.numel() >= 256 * x.shape[-1] and min(weight.shape) >= 8


def _suits_tensor_cores(x: Tensor, weight: Tensor) -> bool:
    float32 = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cuda")
    return _rounded and x.is_cuda and float32 and not torch.compiler.is_compiling()


class _Rounded(torch.autograd.Function):
    """`F.linear` whose three products may be in TensorFloat-32."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        with _tensor_cores():
            return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        rows = grad.flatten(0, -2)
        with _tensor_cores():
            grad_x = (rows @ weight).view_as(x) if for_x else None
            grad_weight = rows.T @ x.flatten(0, -2) if for_weight else None
        return grad_x, grad_weight, rows.sum(0) if for_bias else None


def product_type(x: Tensor) -> torch.dtype:
    """The precision of the factors of x's products: its own or, of a float32 under autocast, autocast's."""
    kind = x.device.type
    is_cast = x.dtype == torch.float32 and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if is_cast else x.dtype


def kernels_multiply(dtype: torch.dtype) -> bool:
    """Whether kernels on this CPU have products of their own of factors in this precision."""
    return dtype in (torch.float32, torch.float64) or (dtype == torch.bfloat16 and MULTIPLIES_PAIRS)


@contextmanager
def _tensor_cores() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def is_amd() -> bool:
    """Whether the CPU is one of AMD's."""
    return get_host_cpu_name().startswith("znver")
