"""Sums over all processes of a distributed training; with one process they are what went in.

Every process must call them equally often: they wait for one another, in the backward pass too.
"""

import torch
from torch import Tensor, distributed


def several() -> bool:
    """Whether this process is one of several that share each batch."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def total(x: Tensor) -> Tensor:
    """The sum of all processes' x, of any shape; its gradient is the sum of all processes' gradients."""
    return _Total.apply(x) if several() else x


def merged_moments(mean: Tensor, variance: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of all processes' values together, from those of each; weighted, so counts may differ.

    Args:
        mean: of this process's values, (H,) float.
        variance: without bias correction, (H,).
        count: of this process's values, () float.
    Returns:
        The same three of all values; no sum of squares far from the mean is formed, so nothing cancels.
    """
    if not several():
        return mean, variance, count
    own = torch.cat([mean, variance, count.view(1)])
    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own)
    means, variances, counts = torch.stack(parts).split([len(mean), len(mean), 1], dim=1)
    share = counts / counts.sum()
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean).square())).sum(0), counts.sum()


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        summed = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx, grad):
        return _Total.apply(grad)
