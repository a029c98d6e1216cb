"""S4's kernel from its parameters: the Cauchy sums, the Woodbury identity and the inverse transform in one.

Source: S4 (arXiv 2111.00396), section 3 and appendix C.3.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend
from longrange.kernels.cauchy import cauchy
from longrange.kernels.cauchy_reference import cauchy_reference
from longrange.kernels.dplr_cpu import spectrum_backward, spectrum_forward
from longrange.kernels.parts import parts
from longrange.kernels.real_fft_cpu import irfft, irfft_backward
from longrange.kernels.shapes import check_fit
from longrange.ssm import cauchy_weights, kernel_from_transform, nodes, transform_from_sums


def dplr_kernel(B: Tensor, C: Tensor, P: Tensor, Lambda: Tensor, dt: Tensor, L: int) -> Tensor:
    """The first L steps of the kernels of M channels, K_l = C A_bar^l B_bar, with A = diag(Lambda) - P P^*.

    For rank 1 on a CPU nothing but the kernels is stored; the backward pass makes the sums again.

    Args:
        B: one of each conjugate pair, as all of the system, (H, N/2) complex.
        C: truncated to L steps, C (I - A_bar^L), (M, H, N/2) complex.
        P: (R, H, N/2) complex.
        Lambda: (H, N/2) complex, negative real parts.
        dt: time steps, (H,) float.
        L: steps, at least 1.
    Returns:
        (M, H, L) float.
    Raises:
        ValueError: shapes that do not fit each other.
    """
    fits = B.shape == C.shape[1:] == P.shape[1:] == Lambda.shape and dt.shape == B.shape[:1]
    check_fit(fits, B=B, C=C, P=P, Lambda=Lambda, dt=dt)
    if len(P) == 1 and backend.resolve(dt.device) == "cpu":
        return _Kernel.apply(B, C, P[0], Lambda, dt, nodes(L, dt.dtype), L)
    return _from_sums(cauchy, B, C, P, Lambda, dt, L)


def dplr_kernel_reference(B: Tensor, C: Tensor, P: Tensor, Lambda: Tensor, dt: Tensor, L: int) -> Tensor:
    """As `dplr_kernel`, all sums stored, in plain torch."""
    return _from_sums(cauchy_reference, B, C, P, Lambda, dt, L)


def _from_sums(cauchy, B: Tensor, C: Tensor, P: Tensor, Lambda: Tensor, dt: Tensor, L: int) -> Tensor:
    y, weights = nodes(L, dt.dtype, dt.device), cauchy_weights(B, C, P, dt)
    v, poles = parts(weights).movedim(0, 2).flatten(0, 1), parts(dt.unsqueeze(-1) * Lambda)
    sums = torch.complex(*cauchy(v, poles, y).unbind(1)).unflatten(0, weights.shape[:2])
    return kernel_from_transform(transform_from_sums(sums, y), weights, L)


class _Kernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx, B, C, P, Lambda, dt, y, L):
        ctx.save_for_backward(B, C, P, Lambda, dt, y)
        ctx.L = L
        return irfft(spectrum_forward(B, C, P, Lambda, dt, y, L), L)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return *spectrum_backward(*ctx.saved_tensors, ctx.L, irfft_backward(grad)), None, None
