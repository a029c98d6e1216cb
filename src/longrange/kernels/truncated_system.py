"""From a small dense system whose output rows are stored truncated to the matrices of its recurrence.

A layer does this anew in every step: in plain torch the power A_bar^L and the inverse are dozens of operations on
matrices of a few numbers, and as many backward. On the CPU it is one function each way. Source: S4 (arXiv 2111.00396),
appendix C.3, for the truncation.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, truncated_system_cpu
from longrange.kernels.shapes import check_fit
from longrange.ssm import untruncate
from longrange.ssm.dense import gbt


def truncated_system(A: Tensor, B: Tensor, C_tilde: Tensor, dt: Tensor, L: int) -> tuple[Tensor, Tensor, Tensor]:
    """The discrete system x_k = A_bar x_{k-1} + B_bar u_k, y_k = C x_k by the bilinear rule.

    Computed in double precision: I - A_bar^L is close to singular for slow systems.

    Args:
        A: (H, N, N) float64, stable.
        B: (H, N) float.
        C_tilde: rows C (I - A_bar^L) of M channels, (M, H, N).
        dt: time steps, (H,).
        L: steps after which the response was cut, at least 1.
    Returns:
        A_bar, (H, N, N); B_bar, (H, N); C, (M, H, N), all of B's dtype.
    Raises:
        ValueError: shapes that do not fit each other.
    """
    fits = A.shape == (*B.shape, B.shape[-1]) and C_tilde.shape[1:] == B.shape and dt.shape == B.shape[:1]
    check_fit(fits, A=A, B=B, C_tilde=C_tilde, dt=dt)
    if backend.resolve(B.device) == "cpu":
        return _System.apply(A, B, C_tilde, dt, L)
    return truncated_system_reference(A, B, C_tilde, dt, L)


def truncated_system_reference(
    A: Tensor, B: Tensor, C_tilde: Tensor, dt: Tensor, L: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As `truncated_system`, in plain torch, differentiated by autograd."""
    A_bar, B_bar = gbt(A, B.double(), dt.double())
    C = untruncate(C_tilde.double(), A_bar, L)
    return A_bar.to(B.dtype), B_bar.to(B.dtype), C.to(B.dtype)


class _System(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A, B, C_tilde, dt, L):
        outputs, kept = truncated_system_cpu.system_forward(A, B, C_tilde, dt, L)
        ctx.save_for_backward(A, B, C_tilde, dt, *kept)
        ctx.L = L
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        return *truncated_system_cpu.system_backward(*ctx.saved_tensors, ctx.L, *grads), None
