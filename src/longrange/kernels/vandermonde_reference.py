"""The Vandermonde product in plain complex arithmetic, differentiated by autograd, memory O(H N L)."""

import torch
from torch import Tensor


def vandermonde_reference(c: Tensor, A_bar: Tensor, L: int) -> Tensor:
    """2 Re sum_n c_n A_bar_n^l for l = 0..L-1, from a table of all powers.

    Args:
        c: (M, 2, H, N) weights.
        A_bar: (2, H, N).
        L: number of powers.
    Returns:
        (M, H, L).
    """
    weights = torch.complex(c[:, 0], c[:, 1]).transpose(0, 1)
    sums = weights @ _powers(torch.complex(A_bar[0], A_bar[1]), L)
    return 2 * sums.real.transpose(0, 1)


def _powers(a: Tensor, L: int) -> Tensor:
    """a^l, (..., L), by doubling the table; a zero is no trouble, which it would be for logarithms.

    The factor a^(2^i) is squared in double precision: in single its error would double with every squaring.
    """
    table, factor = torch.stack([torch.ones_like(a), a], dim=-1), a.unsqueeze(-1).to(torch.complex128)
    while table.shape[-1] < L:
        factor = factor * factor
        table = torch.cat([table, table * factor.to(a.dtype)], dim=-1)
    return table[..., :L]
