"""From features of every step to one vector a sequence."""

import torch
from torch import Tensor

from longrange.kernels import zero_padding


def mean(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Mean over the valid steps of x, (B, L, H), as (B, H)."""
    if lengths is None:
        return x.mean(dim=1)
    return zero_padding(x, lengths).sum(dim=1) / lengths.clamp(max=x.shape[1]).unsqueeze(1).to(x.dtype)


def last(x: Tensor, lengths: Tensor | None) -> Tensor:
    """The last valid step of x, (B, L, H), as (B, H)."""
    if lengths is None:
        return x[:, -1]
    return x[torch.arange(len(x), device=x.device), lengths.clamp(max=x.shape[1]) - 1]


POOLINGS = {"mean": mean, "last": last}
