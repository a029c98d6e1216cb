"""What the machine can do at most, measured: matrix products by the libraries at hand, and copies of large arrays."""

from collections.abc import Callable
from functools import partial
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional as F

from longrange.kernels import linear

_SHAPES = [(2048, 2048, 2048), (16384, 512, 512)]  # (rows, K, N): square, and as a projection has it
_CALLS, _SECONDS = 10, 1.0  # of each product, copy and triad: no more calls, and none after this time


def matrix_rate(dtype: torch.dtype, device: torch.device, shapes: list[tuple[int, int, int]] = _SHAPES) -> float:
    """The best rate of a large matrix product, by torch's own linear map or by `kernels.linear`.

    Args:
        dtype: of both factors.
        device: where.
        shapes: products of (rows, K) and (K, N) that are tried.
    Returns:
        Floating-point operations a second, two for each product and sum.
    """
    rates = []
    for rows, K, N in shapes:
        x, weight = torch.randn(rows, K, device=device).to(dtype), torch.randn(N, K, device=device).to(dtype)
        for function in (F.linear, linear):
            rates.append(2 * rows * K * N / _least(partial(function, x, weight), device))
    return max(rates)


def bandwidth(device: torch.device, size: int = 2**28) -> float:
    """The best rate of a copy, y = x, and a triad, z = x + 2 y, of arrays that no cache holds.

    Args:
        device: where.
        size: bytes of one array.
    Returns:
        Bytes a second, read and written.
    """
    x, y, z = (torch.ones(size // 4, device=device) for _ in range(3))
    copy = 2 * size / _least(lambda: y.copy_(x), device)
    triad = 3 * size / _least(lambda: torch.add(x, y, alpha=2, out=z), device)
    return max(copy, triad)


@torch.no_grad()
def _least(function: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of the fastest of several calls, after one that does not count."""
    times: list[float] = []
    while len(times) <= _CALLS and sum(times) < _SECONDS:
        began = perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(perf_counter() - began)
    return min(times[1:] or times)
