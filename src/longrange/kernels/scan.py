"""The linear recurrence of diagonal state-space models, x_k = A_bar x_{k-1} + Bu_k, over whole sequences.

Complex values are split into real and imaginary parts along an axis of their own, ahead of the state, so that the
innermost axis is contiguous and every product is a real one. Source: S5 (arXiv 2208.04933), section 2.2, where a
parallel scan computes the same states.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, scan_cpu
from longrange.kernels.scan_reference import diagonal_scan_reference
from longrange.kernels.shapes import check_fit

_MIXED = torch.bfloat16, torch.float32  # precisions of Bu and A_bar that the CPU's kernel takes together


def diagonal_scan(
    A_bar: Tensor,
    Bu: Tensor,
    initial: Tensor | None = None,
    *,
    bidirectional: bool = False,
) -> Tensor:
    """States of a diagonal linear recurrence, forwards in time and, on request, backwards as well.

    Args:
        A_bar: diagonal of the transition, (2, P) float: real parts, imaginary parts.
        Bu: inputs of the recurrence, (B, L, 2, P) float, L at least 1; bfloat16 beside a wider A_bar is widened.
        initial: state before the first step of each direction, (B, D, 2, P) float; zero where None.
        bidirectional: D = 2; direction 1 runs from the last step to the first, on the same A_bar and Bu.
    Returns:
        (B, L, D, 2, P) states, in Bu's precision.
    Raises:
        ValueError: shapes that do not fit each other.
    """
    shape = (Bu.shape[0], 2 if bidirectional else 1, *A_bar.shape)
    if initial is None:
        initial = A_bar.new_zeros(shape)
    check_fit(Bu.shape[2:] == A_bar.shape and initial.shape == shape, A_bar=A_bar, Bu=Bu, initial=initial)
    version = backend.resolve(Bu.device)
    if Bu.dtype != A_bar.dtype and not (version == "cpu" and (Bu.dtype, A_bar.dtype) == _MIXED):
        return diagonal_scan(A_bar, Bu.to(A_bar.dtype), initial, bidirectional=bidirectional).to(Bu.dtype)
    if version == "reference":
        return diagonal_scan_reference(A_bar, Bu, initial, bidirectional)
    kernels = backend.triton_version("scan") if version == "triton" else scan_cpu
    return _Scan.apply(A_bar, Bu, initial, bidirectional, kernels)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A_bar, Bu, initial, bidirectional, kernels):
        x = kernels.scan_forward(A_bar, Bu, initial, bidirectional)
        ctx.save_for_backward(A_bar, x, initial)
        ctx.kernels = kernels
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_x):
        A_bar, x, initial = ctx.saved_tensors
        return *ctx.kernels.scan_backward(A_bar, x, initial, grad_x), None, None
