"""Convolution of sequences with kernels by fast Fourier transforms.

Sequences are (B, L, H); the transforms run over time as the contiguous axis, which is worth the two transpositions.
This is the plain form, for any device; `longrange.kernels.convolution` chooses between it and a faster one.
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
    return _CyclicConvolution.apply(u.to(K.dtype), K, None, D, period(u.shape[1], K.shape[-1]))


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
    n = period(u.shape[1], K.shape[-1], K_back.shape[-1])
    return _CyclicConvolution.apply(u.to(K.dtype), K, K_back, D, n)


class _CyclicConvolution(torch.autograd.Function):
    """A convolution as L steps of a cyclic one of period n, long enough for its ends not to meet.

    The gradients are correlations, made of real transforms: half the work of differentiating the transforms one by one.
    """

    @staticmethod
    def forward(ctx, u, K, K_back, D, n):
        u_hat, K_hat = _time_to_frequency(u, n), rfft(cycle(K, K_back, D, u.shape[1], n))
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
            kernels = uncycle(grad_cycle, *ctx.shapes, ctx.L)
        if ctx.needs_input_grad[0]:
            grad_u = irfft((grad_hat * conj_physical(K_hat)).sum(1), ctx.n)[..., : ctx.L].transpose(1, 2).contiguous()
        wanted = zip(kernels, ctx.needs_input_grad[1:4], strict=True)
        return grad_u, *(grad if needed else None for grad, needed in wanted), None


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
    out = K.new_zeros(*K.shape[:2], n)
    past = min(L, K.shape[-1])
    out[..., :past] = K[..., :past]
    if K_back is not None and (future := min(L - 1, K_back.shape[-1])):
        out[..., n - future :] = K_back[..., :future].flip(-1)
    if D is not None:
        out[..., 0] += D
    return out


def uncycle(
    grad: Tensor, shape: torch.Size, shape_back: torch.Size | None, L: int
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Gradients in K, K_back and D from that in their `cycle`.

    Args:
        grad: (M, H, n) float.
        shape: of K.
        shape_back: of K_back.
        L: steps of the sequence.
    Returns:
        (M, H, L_K); (M, H, L_back), or None where shape_back is; and (M, H).
    """
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
