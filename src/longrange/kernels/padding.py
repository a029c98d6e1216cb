"""Which steps of padded sequences count, and clearing those that do not."""

import torch
from torch import Tensor


def zero_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x, (B, L, H), with zeros from each sequence's length on, whatever stood there (NaN included)."""
    if lengths is None:
        return x
    on_cpu = x.device.type == "cpu"
    if on_cpu and (lengths >= x.shape[1]).all():
        return x
    padding = ~valid_steps(lengths, x.shape[1])
    if not on_cpu:
        return x.masked_fill(padding.unsqueeze(-1), 0.0)
    # Filling whole rows touches the padding only; a masked fill takes several times as long.
    rows = padding.flatten().nonzero().squeeze(1)
    return x.flatten(0, 1).index_fill(0, rows, 0.0).view_as(x)


def valid_steps(lengths: Tensor, L: int) -> Tensor:
    """(B, L) bool: True where step < length."""
    return torch.arange(L, device=lengths.device) < lengths.unsqueeze(1)
