"""The linear map of every projection, by the fastest library routine for where the tensors are."""

import torch
from torch import Tensor
from torch.nn import functional as F


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b over the last axis.

    On the CPU in float32 a long sequence goes through oneDNN as a 1 x 1 convolution over channels-last memory, the
    same matrix product without a copy: 10 to 60% faster than the BLAS call behind `F.linear` on the shapes of the
    benchmark (`python scripts/benchmark.py benchmark=linear`).

    Args:
        x: (..., K) float.
        weight: (N, K) float.
        bias: (N,) float.
    Returns:
        (..., N) float.
    """
    if not _suits_convolution(x):
        return F.linear(x, weight, bias)
    rows = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    y = F.conv2d(rows, weight[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _suits_convolution(x: Tensor) -> bool:
    long_enough = x.numel() >= 256 * x.shape[-1]
    return x.device.type == "cpu" and x.dtype == torch.float32 and long_enough and not torch.is_autocast_enabled("cpu")
