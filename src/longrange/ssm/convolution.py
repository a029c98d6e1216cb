"""Convolution of sequences with kernels by fast Fourier transforms.

Sequences are (B, L, H); the transforms run over time as the contiguous axis, which is worth the two transpositions.
Source: S4 (arXiv 2111.00396), section 2.4; two-sided kernels as in the authors' code.
"""

from functools import cache

import torch
from torch import Tensor, conj_physical
from torch.fft import irfft, rfft
from torch.nn.functional import pad


def causal_convolution(u: Tensor, K: Tensor) -> Tensor:
    """Sums over the past, y_t = sum_j K_j u_{t-j}, with u zero before its start.

    Args:
        u: input sequences, (B, L, H) float of any precision, L at least 1.
        K: kernels of M channels, (M, H, L_K) float32 or float64; L_K may differ from L.
    Returns:
        (B, L, M, H), in the precision of K.
    """
    L = u.shape[1]
    K = K[..., :L]
    return _convolve(u, K, _fast_size(L + K.shape[-1] - 1))


def two_sided_convolution(u: Tensor, K: Tensor, K_back: Tensor) -> Tensor:
    """Sums over the past and the future, y_t = sum_j K_j u_{t-j} + sum_j K_back_j u_{t+1+j}.

    Args:
        u: input sequences, (B, L, H) float of any precision, L at least 1.
        K: kernels of the past and the present, (M, H, L_K) float32 or float64.
        K_back: kernels of the future, (M, H, L_back), of the same precision; the first one weighs the next step.
    Returns:
        (B, L, M, H), in the precision of K.
    """
    L = u.shape[1]
    K, K_back = K[..., :L], K_back[..., : L - 1]
    n = _fast_size(L + max(K.shape[-1] - 1, K_back.shape[-1]))
    past = pad(K, (0, n - K.shape[-1] - K_back.shape[-1]))
    return _convolve(u, torch.cat([past, K_back.flip(-1)], dim=-1), n)


def _convolve(u: Tensor, K: Tensor, n: int) -> Tensor:
    return _CyclicConvolution.apply(u.to(K.dtype), K, n)


class _CyclicConvolution(torch.autograd.Function):
    """The first L steps of the cyclic convolution of period n; u (B, L, H), K (M, H, up to n), out (B, L, M, H).

    The gradients are correlations, made of real transforms: half the work of differentiating the transforms one by one.
    """

    @staticmethod
    def forward(ctx, u, K, n):
        u_hat, K_hat = _time_to_frequency(u, n), rfft(K, n)
        ctx.save_for_backward(u_hat, K_hat)
        ctx.n, ctx.L, ctx.L_K = n, u.shape[1], K.shape[-1]
        y = irfft(u_hat.unsqueeze(1) * K_hat, n)
        return y[..., : ctx.L].permute(0, 3, 1, 2).contiguous()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_y):
        u_hat, K_hat = ctx.saved_tensors
        # Conjugates are written out: torch multiplies with a lazy one many times slower.
        grad_u = grad_K = None
        grad_hat = _time_to_frequency(grad_y.flatten(2), ctx.n).unflatten(1, K_hat.shape[:2])
        if ctx.needs_input_grad[1]:
            grad_K = irfft((grad_hat * conj_physical(u_hat).unsqueeze(1)).sum(0), ctx.n)[..., : ctx.L_K]
        if ctx.needs_input_grad[0]:
            products = grad_hat.mul_(K_hat.conj())
            total = products.sum(1) if len(K_hat) > 1 else products.squeeze(1)
            grad_u = irfft(total, ctx.n)[..., : ctx.L].transpose(1, 2).contiguous()
        return grad_u, grad_K, None


def _time_to_frequency(u: Tensor, n: int) -> Tensor:
    """Transform over time, zero-padded to n steps: (B, L, H) to (B, H, n/2 + 1) complex."""
    return rfft(pad(u.transpose(1, 2), (0, n - u.shape[1])))


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
