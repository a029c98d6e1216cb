"""Convolution of sequences with kernels by fast Fourier transforms.

On a CPU short ones are one pass over memory, a slice of the features at a time; long ones, and all on a GPU, are
transforms of torch, and passes between them. The plain form in `longrange.ssm` is the reference.
Source: S4 (arXiv 2111.00396), section 2.4; two-sided kernels as in the authors' code.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.fft import irfft, rfft
from torch.nn.functional import pad

from longrange.kernels import backend, convolution_cpu, convolution_fft_cpu
from longrange.kernels.fft_cpu import period
from longrange.kernels.shapes import check_fit
from longrange.ssm import convolution as reference


def causal_convolution(u: Tensor, K: Tensor, D: Tensor | None = None) -> Tensor:
    """Sums over the past, y_t = sum_j K_j u_{t-j} + D u_t, with u zero before its start.

    Args:
        u: input sequences, (B, L, H) float of any precision, L at least 1.
        K: kernels of M channels, (M, H, L_K) float32 or float64; L_K may differ from L.
        D: weights of the current input, (M, H), of the same precision; 0 where None.
    Returns:
        (B, L, M, H), in the precision of K.
    Raises:
        ValueError: shapes that do not fit each other, or no steps.
    """
    _check(u, K, None, D)
    version = backend.resolve(u.device)
    if version == "reference":
        return reference.causal_convolution(u, K, D)
    return _convolution(u, K, None, D, reference.period(u.shape[1], K.shape[-1]), version)


def two_sided_convolution(u: Tensor, K: Tensor, K_back: Tensor, D: Tensor | None = None) -> Tensor:
    """Sums over the past and the future, y_t = sum_j K_j u_{t-j} + sum_j K_back_j u_{t+1+j} + D u_t.

    Args:
        u: input sequences, (B, L, H) float of any precision, L at least 1.
        K: kernels of the past and the present, (M, H, L_K) float32 or float64.
        K_back: kernels of the future, (M, H, L_back), of the same precision; the first one weighs the next step.
        D: weights of the current input, (M, H), of the same precision; 0 where None.
    Returns:
        (B, L, M, H), in the precision of K.
    Raises:
        ValueError: shapes that do not fit each other, or no steps.
    """
    _check(u, K, K_back, D)
    version = backend.resolve(u.device)
    if version == "reference":
        return reference.two_sided_convolution(u, K, K_back, D)
    n = reference.period(u.shape[1], K.shape[-1], K_back.shape[-1])
    return _convolution(u, K, K_back, D, n, version)


def _check(u: Tensor, K: Tensor, K_back: Tensor | None, D: Tensor | None) -> None:
    sizes = [t.shape[:2] for t in (K, K_back, D) if t is not None]
    check_fit(u.shape[1] > 0 and u.shape[2] == K.shape[1] and len(set(sizes)) == 1, u=u, K=K, K_back=K_back, D=D)


def _convolution(u: Tensor, K: Tensor, K_back: Tensor | None, D: Tensor | None, n: int, version: str) -> Tensor:
    if version == "triton":
        return _Long.apply(u.to(K.dtype), K, K_back, D, n, backend.triton_version("convolution"))
    if short := period(n):
        return _Short.apply(u.to(K.dtype), K, K_back, D, short)
    return _Long.apply(u.to(K.dtype), K, K_back, D, n, convolution_cpu)


class _Short(torch.autograd.Function):
    """Nothing but the inputs is kept: their transforms are quicker made again than read."""

    @staticmethod
    def forward(ctx, u, K, K_back, D, n):
        ctx.save_for_backward(u, K, K_back, D)
        ctx.n = n
        return convolution_fft_cpu.convolve(u, K, K_back, D, n)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        for_u, *for_kernels = ctx.needs_input_grad[:4]
        grads = convolution_fft_cpu.correlate(grad_y, *ctx.saved_tensors, ctx.n, for_u, any(for_kernels))
        return *(grad if wanted else None for grad, wanted in zip(grads, ctx.needs_input_grad, strict=False)), None


class _Long(torch.autograd.Function):
    """L steps of a cyclic convolution of period n, as in the reference."""

    @staticmethod
    def forward(ctx, u, K, K_back, D, n, kernels):
        L = u.shape[1]
        u_hat = rfft(kernels.features_first(u, n))
        K_hat = rfft(reference.cycle(K, K_back, D, L, n))
        ctx.save_for_backward(u_hat, K_hat)
        ctx.kernels, ctx.n, ctx.L, ctx.shapes = kernels, n, L, [None if k is None else k.shape for k in (K, K_back)]
        y = irfft(kernels.products(u_hat, K_hat), n)
        return kernels.time_first(y.flatten(1, 2), L).unflatten(2, K.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        (u_hat, K_hat), kernels = ctx.saved_tensors, ctx.kernels
        for_u, for_K = ctx.needs_input_grad[0], any(ctx.needs_input_grad[1:4])
        grad_hat = rfft(kernels.features_first(grad_y.flatten(2), ctx.n)).unflatten(1, K_hat.shape[:2])
        grad_u_hat, grad_K_hat = kernels.correlations(grad_hat, u_hat, K_hat, for_u, for_K)
        grad_u = kernels.time_first(irfft(grad_u_hat, ctx.n), ctx.L) if for_u else None
        parts = _uncycle(irfft(grad_K_hat, ctx.n), *ctx.shapes, ctx.L) if for_K else (None, None, None)
        wanted = zip(parts, ctx.needs_input_grad[1:4], strict=True)
        return grad_u, *(grad if needed else None for grad, needed in wanted), None, None


def _uncycle(
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
