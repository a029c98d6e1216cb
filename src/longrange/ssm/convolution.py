"""Convolution of sequences with kernels by fast Fourier transforms.

Sequences are (B, L, H); the transforms run over time as the contiguous axis, which is worth the two transpositions.
Source: S4 (arXiv 2111.00396), section 2.4; two-sided kernels as in the authors' code.
"""

from functools import cache

import torch
from torch import Tensor, conj_physical
from torch.fft import irfft, rfft
from torch.nn.functional import pad


def causal_convolution(u: Tensor, K: Tensor, D: Tensor | None = None) -> Tensor:
    """Sums over the past, y_t = sum_j K_j u_{t-j} + D u_t, with u zero before its start.

    Args:
        u: input sequences, (B, L, H) float of any precision, L at least 1.
        K: kernels of M channels, (M, H, L_K) float32 or float64; L_K may differ from L.
        D: weights of the current input, (M, H), of the same precision; 0 where None.
    Returns:
        (B, L, M, H), in the precision of K.
    """
    L = u.shape[1]
    n = _fast_size(L + min(L, K.shape[-1]) - 1)
    return _CyclicConvolution.apply(u.to(K.dtype), K, None, D, n)


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
    L = u.shape[1]
    n = _fast_size(L + max(min(L, K.shape[-1]) - 1, min(L - 1, K_back.shape[-1])))
    return _CyclicConvolution.apply(u.to(K.dtype), K, K_back, D, n)


class _CyclicConvolution(torch.autograd.Function):
    """A convolution as L steps of a cyclic one of period n, long enough for its ends not to meet.

    The gradients are correlations, made of real transforms: half the work of differentiating the transforms one by one.
    """

    @staticmethod
    def forward(ctx, u, K, K_back, D, n):
        u_hat, K_hat = _time_to_frequency(u, n), rfft(_cycle(K, K_back, D, u.shape[1], n))
        ctx.save_for_backward(u_hat, K_hat)
        ctx.n, ctx.L, ctx.shapes = n, u.shape[1], [None if k is None else k.shape for k in (K, K_back)]
        y = irfft(u_hat.unsqueeze(1) * K_hat, n)
        return y[..., : ctx.L].permute(0, 3, 1, 2).contiguous()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_y):
        u_hat, K_hat = ctx.saved_tensors
        # Conjugates are written out: torch multiplies with a lazy one many times slower.
        grad_u, kernels = None, (None, None, None)
        grad_hat = _time_to_frequency(grad_y.flatten(2), ctx.n).unflatten(1, K_hat.shape[:2])
        if any(ctx.needs_input_grad[1:4]):
            grad_cycle = irfft((grad_hat * conj_physical(u_hat).unsqueeze(1)).sum(0), ctx.n)
            kernels = _uncycle(grad_cycle, *ctx.shapes, ctx.L)
        if ctx.needs_input_grad[0]:
            grad_u = irfft((grad_hat * conj_physical(K_hat)).sum(1), ctx.n)[..., : ctx.L].transpose(1, 2).contiguous()
        wanted = zip(kernels, ctx.needs_input_grad[1:4], strict=True)
        return grad_u, *(grad if needed else None for grad, needed in wanted), None


def _cycle(K: Tensor, K_back: Tensor | None, D: Tensor | None, L: int, n: int) -> Tensor:
    """One period of the kernels, (M, H, n): the past from the start on, the future backwards from the end."""
    cycle = K.new_zeros(*K.shape[:2], n)
    past = min(L, K.shape[-1])
    cycle[..., :past] = K[..., :past]
    if K_back is not None and (future := min(L - 1, K_back.shape[-1])):
        cycle[..., n - future :] = K_back[..., :future].flip(-1)
    if D is not None:
        cycle[..., 0] += D
    return cycle


def _uncycle(grad: Tensor, shape: torch.Size, shape_back: torch.Size | None, L: int) -> tuple:
    """Gradients in K, K_back and D from that in their `_cycle`."""
    n, past = grad.shape[-1], min(L, shape[-1])
    grad_K = pad(grad[..., :past], (0, shape[-1] - past))
    if shape_back is None:
        return grad_K, None, grad[..., 0].clone()
    future = min(L - 1, shape_back[-1])
    grad_back = pad(grad[..., n - future :].flip(-1), (0, shape_back[-1] - future))
    return grad_K, grad_back, grad[..., 0].clone()


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
