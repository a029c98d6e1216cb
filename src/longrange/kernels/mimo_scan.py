"""A diagonal system with several inputs and outputs, run from inputs to outputs at once.

Where its states are few, the products with B_bar and C are narrow: what they read and write costs more than their
arithmetic, and the states of a few steps fit in a cache. Source: S5 (arXiv 2208.04933), section 3.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, mimo_scan_cpu
from longrange.kernels.lanes import LANES
from longrange.kernels.scan_reference import diagonal_scan_reference

_WIDEST = 32  # parts of states


def few_states_are_faster(A_bar: Tensor, u: Tensor) -> bool:
    """Whether `mimo_scan` is faster than two products around a scan, where u is and of what sizes the system has."""
    widths = u.shape[-1], 2 * A_bar.shape[-1]
    suits = not any(width % LANES for width in widths) and widths[1] <= _WIDEST
    return suits and u.dtype == A_bar.dtype and backend.resolve(u.device) == "cpu"


def mimo_scan(A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor, u: Tensor, *, bidirectional: bool = False) -> Tensor:
    """Outputs y_k = C x_k + D u_k of x_k = A_bar x_{k-1} + B_bar u_k, from a state zero.

    Args:
        A_bar: diagonal of the transition, (2, p) float: real parts, imaginary parts.
        B_bar: (2 p, H), to the real, then the imaginary parts of states.
        C: (H, directions 2 p), from these parts of each direction.
        D: (H,).
        u: (B, L, H) float of A_bar's precision, L at least 1.
        bidirectional: a second direction runs from the last step to the first.
    Returns:
        (B, L, H).
    """
    if few_states_are_faster(A_bar, u):
        return _Scan.apply(A_bar, B_bar, C, D, u, bidirectional)
    return mimo_scan_reference(A_bar, B_bar, C, D, u, bidirectional)


def mimo_scan_reference(A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor, u: Tensor, bidirectional: bool) -> Tensor:
    """As `mimo_scan`, in plain torch, differentiated by autograd."""
    Bu = (u @ B_bar.T).unflatten(-1, (2, -1))
    initial = Bu.new_zeros(len(u), 1 + bidirectional, *A_bar.shape)
    x = diagonal_scan_reference(A_bar, Bu, initial, bidirectional)
    return x.flatten(2) @ C.T + D * u


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A_bar, B_bar, C, D, u, bidirectional):
        y, *states = mimo_scan_cpu.scan_forward(A_bar, B_bar, C, D, u, bidirectional)
        ctx.save_for_backward(A_bar, B_bar, C, D, u, *states)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        return *mimo_scan_cpu.scan_backward(*ctx.saved_tensors, grad_y), None
