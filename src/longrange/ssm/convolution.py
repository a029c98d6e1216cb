"""Convolution of sequences with kernels by fast Fourier transforms.

Sequences are (B, L, H). This is the plain form, for any device, differentiated by autograd;
`longrange.kernels.convolution` chooses between it and faster ones.
Source: S4 (arXiv 2111.00396), section 2.4; two-sided kernels as in the authors' code.
"""

from functools import cache

import torch
from torch import Tensor
from torch.fft import irfft, rfft


def causal_convolution(u: Tensor, K: Tensor, D: Tensor | None = None) -> Tensor:
    """Sums over the past, y_t = sum_j K_j u_{t-j} + D u_t, with u zero before its start.

    Args:
        u: input sequences, (B, L, H) float of any precision, L at least 1.
        K: kernels of M channels, (M, H, L_K) float32 or float64; L_K may differ from L.
        D: weights of the current input, (M, H), of the same precision; 0 where None.
    Returns:
        (B, L, M, H), in the precision of K.
    """
    return _convolution(u, K, None, D, period(u.shape[1], K.shape[-1]))


def two_sided_convolution(u: Tensor, K: Tensor, K_back: Tensor, D: Tensor | None = None) -> Tensor:
    """Sums over the past and the future, y_t = sum_j K_j u_{t-j} + sum_j K_back_j u_{t+1+j} + D u_t.

    Args:
        u: input sequences, (B, L, H) float of any precision, L at least 1.
        K: kernels of the past and the present, (M, H, L_K) float32 or float64.
        K_back: kernels of the future, (M, H, L_back), of the same precision; the first one weighs the next step.
        D: weights of the current input, (M, H), of the same precision; 0 where None.
    Returns:
        (B, L, M, H), in the precision of K.
    """
    return _convolution(u, K, K_back, D, period(u.shape[1], K.shape[-1], K_back.shape[-1]))


def _convolution(u: Tensor, K: Tensor, K_back: Tensor | None, D: Tensor | None, n: int) -> Tensor:
    """L steps of a cyclic convolution of period n, long enough for its ends not to meet."""
    u_hat = rfft(u.to(K.dtype).transpose(1, 2), n)
    y = irfft(u_hat.unsqueeze(1) * rfft(cycle(K, K_back, D, u.shape[1], n)), n)
    return y[..., : u.shape[1]].permute(0, 3, 1, 2).contiguous()


def period(L: int, past: int, future: int = 0) -> int:
    """How long a cyclic convolution must be for L steps of it to be those of a plain one: a fast size for transforms.

    Args:
        L: steps of the sequence, at least 1.
        past: length of the kernel of the past and the present, at least 1.
        future: length of the kernel of the future.
    Returns:
        n, even and at least L.
    """
    return _fast_size(L + max(min(L, past) - 1, min(L - 1, future)))


def cycle(K: Tensor, K_back: Tensor | None, D: Tensor | None, L: int, n: int) -> Tensor:
    """One period of the kernels: the past from the start on, the future backwards from the end.

    Args:
        K: kernels of the past and the present, (M, H, L_K) float.
        K_back: kernels of the future, (M, H, L_back) float; 0 where None.
        D: what to add to the first element of K, (M, H) float; 0 where None.
        L: steps of the sequence.
        n: what `period` says.
    Returns:
        (M, H, n).
    """
    past = K[..., :L]
    if D is not None:
        past = torch.cat([past[..., :1] + D.unsqueeze(-1), past[..., 1:]], dim=-1)
    future = K[..., :0] if K_back is None else K_back[..., : L - 1].flip(-1)
    between = K.new_zeros(*K.shape[:2], n - past.shape[-1] - future.shape[-1])
    return torch.cat([past, between, future], dim=-1)


@cache
def _fast_size(least: int) -> int:
    """The smallest even 2^a 3^b 5^c that is not below `least`; transforms of such sizes are fast."""
    half = (least + 1) // 2
    while not _is_smooth(half):
        half += 1
    return 2 * half


def _is_smooth(size: int) -> bool:
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    return size == 1
