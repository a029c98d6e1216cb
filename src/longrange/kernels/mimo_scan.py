"""A diagonal system with several inputs and outputs, run from inputs to outputs at once.

Products with B_bar and C around a scan write states and read them again; where these matrices fit in a cache, some
steps at a time can pass through both without their states ever reaching memory. Source: S5 (arXiv 2208.04933),
section 3.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, mimo_scan_cpu
from longrange.kernels.linear import is_amd, kernels_multiply, product_type
from longrange.kernels.scan_reference import diagonal_scan_reference
from longrange.kernels.shapes import check_fit
from longrange.kernels.vectors import LANES

_NARROW = 32  # parts of states: products so narrow are fast in no library
_LARGEST = 1 << 18  # numbers in B_bar


def one_kernel_is_faster(A_bar: Tensor, u: Tensor) -> bool:
    """Whether `mimo_scan` is faster than two products around a scan, for u's device and these sizes.

    Narrow systems always; wide ones on AMD's CPUs, where it was measured, unless autocast wants products in a precision
    that a library alone has.
    """
    if not _has_kernel(A_bar, u):
        return False
    features, parts = u.shape[-1], 2 * A_bar.shape[-1]
    may_be_wide = is_amd() and kernels_multiply(product_type(A_bar))
    return parts <= _NARROW or (may_be_wide and features * parts <= _LARGEST)


def mimo_scan(A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor, u: Tensor, *, bidirectional: bool = False) -> Tensor:
    """Outputs y_k = C x_k + D u_k of x_k = A_bar x_{k-1} + B_bar u_k, from a state zero.

    Under autocast, factors of products are in its precision where the CPU's kernels have it; states stay as they are.

    Args:
        A_bar: diagonal of the transition, (2, p) float: real parts, imaginary parts.
        B_bar: (2 p, H), to the real, then the imaginary parts of states.
        C: (H, directions 2 p), from these parts of each direction.
        D: (H,).
        u: (B, L, H) float of A_bar's precision or of autocast's, L at least 1.
        bidirectional: a second direction runs from the last step to the first.
    Returns:
        (B, L, H) of A_bar's precision.
    Raises:
        ValueError: shapes that do not fit each other.
    """
    H, parts = len(D), A_bar.numel()
    fits = B_bar.shape == (parts, H) and C.shape == (H, (1 + bidirectional) * parts) and u.shape[2] == H
    check_fit(fits, A_bar=A_bar, B_bar=B_bar, C=C, D=D, u=u)
    if _has_kernel(A_bar, u):
        factors = product_type(A_bar)
        u, factors = u.to(A_bar.dtype), factors if kernels_multiply(factors) else A_bar.dtype
        return _Scan.apply(A_bar, B_bar, C, D, u, bidirectional, factors)
    return mimo_scan_reference(A_bar, B_bar, C, D, u, bidirectional)


def _has_kernel(A_bar: Tensor, u: Tensor) -> bool:
    """Whether there is one for u's device and types, and for rows that fill vector registers."""
    if backend.resolve(u.device) != "cpu" or u.dtype not in (A_bar.dtype, product_type(A_bar)):
        return False
    return not u.shape[-1] % LANES and not A_bar.numel() % LANES


def mimo_scan_reference(A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor, u: Tensor, bidirectional: bool) -> Tensor:
    """As `mimo_scan`, in plain torch, differentiated by autograd."""
    Bu = (u @ B_bar.T).unflatten(-1, (2, -1))
    initial = Bu.new_zeros(len(u), 1 + bidirectional, *A_bar.shape)
    x = diagonal_scan_reference(A_bar, Bu, initial, bidirectional)
    return x.flatten(2) @ C.T + D * u


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A_bar, B_bar, C, D, u, bidirectional, dtype):
        y, *kept = mimo_scan_cpu.scan_forward(A_bar, B_bar, C, D, u, bidirectional, dtype)
        ctx.save_for_backward(A_bar, B_bar, C, D, u, *kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        return *mimo_scan_cpu.scan_backward(*ctx.saved_tensors, grad_y), None, None
