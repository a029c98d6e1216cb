"""Small dense systems, one per feature, run through time step by step.

Where the state is small, the recurrence itself costs less than the convolution kernel and the transforms that replace
it: features are side by side in memory, and nothing is transposed. Source: S4 (arXiv 2111.00396), section 2.3, for the
recurrence.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, feature_scan_cpu
from longrange.kernels.feature_scan_reference import feature_scan_reference
from longrange.kernels.feature_tables_cpu import LARGEST
from longrange.kernels.shapes import check_fit


def scan_is_faster(u: Tensor, N: int) -> bool:
    """Whether the recurrence of N states is faster than a convolution where u is."""
    return N <= LARGEST and backend.resolve(u.device) == "cpu"


def feature_scan(A: Tensor, B: Tensor, C: Tensor, D: Tensor, u: Tensor, *, bidirectional: bool = False) -> Tensor:
    """Outputs of one system per feature, x_t = A x_{t-1} + B u_t and y_t = C x_t + D u_t, from a state zero.

    Where bidirectional, y_t has C' z_t besides, with z_t = A z_{t+1} + B u_{t+1}: the second part starts at the next
    step.

    Args:
        A: transitions, (H, N, N) float.
        B: (H, N).
        C: rows of M channels, (M, H, N); where bidirectional (2 M, H, N), those of the forward direction first.
        D: weights of the current input, (M, H).
        u: input sequences, (B, L, H), L at least 1.
        bidirectional: run from the last step to the first as well.
    Returns:
        (B, L, M, H).
    Raises:
        ValueError: a larger state than the CPU version is made for, or shapes that do not fit each other.
    """
    fits = A.shape == (*B.shape, B.shape[-1]) and C.shape == ((1 + bidirectional) * len(D), *B.shape)
    check_fit(fits and D.shape[1] == u.shape[2] == len(B), A=A, B=B, C=C, D=D, u=u)
    if backend.resolve(u.device) != "cpu":
        return feature_scan_reference(A, B, C, D, u, bidirectional)
    if B.shape[-1] > LARGEST:
        raise ValueError(f"{B.shape[-1]} states: at most {LARGEST}; use a convolution for more")
    # Features innermost, as u has them.
    return _Scan.apply(A.permute(1, 2, 0), B.T, C.transpose(1, 2), D, u, bidirectional)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A, B, C, D, u, bidirectional):
        y, tables = feature_scan_cpu.scan_forward(A, B, C, D, u, bidirectional)
        ctx.save_for_backward(A, u, *tables)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        A, u, *tables = ctx.saved_tensors
        return *feature_scan_cpu.scan_backward(A, u, tables, grad_y), None
