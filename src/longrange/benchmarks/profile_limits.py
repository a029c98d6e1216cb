"""What the machine can do at most, measured: matrix products by the libraries at hand, and copies of large arrays."""

from collections.abc import Callable
from functools import partial
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional as F

from longrange.kernels import linear

# (rows, K, N): square, and as a projection has it; large enough for a GPU to be long about it.
_SHAPES = {"cpu": [(2048, 2048, 2048), (16384, 512, 512)], "cuda": [(8192, 8192, 8192), (262144, 512, 512)]}
_BYTES = {"cpu": 2**28, "cuda": 2**30}  # of an array that is copied
_CALLS, _SECONDS = 10, 1.0  # of each product, copy and triad: no more timings, and none after this time
_IN_A_ROW = {"cpu": 1, "cuda": 10}  # calls of a timing: a GPU is told of the next one while it is busy


def matrix_rate(dtype: torch.dtype, device: torch.device, shapes: list[tuple[int, int, int]] | None = None) -> float:
    """The best rate of a large matrix product, by torch's own linear map or by `kernels.linear`.

    Args:
        dtype: of both factors.
        device: where.
        shapes: products of (rows, K) and (K, N) that are tried; None: such as the device is busy with for long.
    Returns:
        Floating-point operations a second, two for each product and sum.
    """
    rates = []
    for rows, K, N in shapes or _SHAPES[device.type]:
        x, weight = torch.randn(rows, K, device=device).to(dtype), torch.randn(N, K, device=device).to(dtype)
        for function in (F.linear, linear):
            rates.append(2 * rows * K * N / _least(partial(function, x, weight), device))
    return max(rates)


def bandwidth(device: torch.device, size: int | None = None) -> float:
    """The best rate of a copy, y = x, and a triad, z = x + 2 y, of arrays that no cache holds.

    Args:
        device: where.
        size: bytes of one array; None: 256 MiB on a CPU, 1 GiB on a GPU.
    Returns:
        Bytes a second, read and written.
    """
    size = size or _BYTES[device.type]
    x, y, z = (torch.ones(size // 4, device=device) for _ in range(3))
    copy = 2 * size / _least(lambda: y.copy_(x), device)
    triad = 3 * size / _least(lambda: torch.add(x, y, alpha=2, out=z), device)
    return max(copy, triad)


@torch.no_grad()
def _least(function: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of a call, in the fastest of several timings after one that does not count."""
    times: list[float] = []
    calls = _IN_A_ROW[device.type]
    while len(times) <= _CALLS and calls * sum(times) < _SECONDS:
        began = perf_counter()
        for _ in range(calls):
            function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append((perf_counter() - began) / calls)
    return min(times[1:] or times)
