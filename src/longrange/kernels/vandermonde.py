"""Powers of a diagonal transition, weighted and summed: the convolution kernel of a diagonal state-space model.

Source: S4D (arXiv 2206.11893), section 3.2: the kernel is a product with a Vandermonde matrix.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, vandermonde_cpu
from longrange.kernels.shapes import check_fit
from longrange.kernels.vandermonde_reference import vandermonde_reference


def vandermonde(c: Tensor, A_bar: Tensor, L: int) -> Tensor:
    """The real kernel 2 Re sum_n c_n A_bar_n^l for l = 0..L-1, conjugates implied.

    Args:
        c: weights of M channels, (M, 2, H, N) float: real parts, imaginary parts.
        A_bar: diagonal of the transition, (2, H, N) float, modulus at most 1.
        L: length of the kernel, at least 1.
    Returns:
        (M, H, L).
    Raises:
        ValueError: shapes that do not fit each other.
    """
    check_fit(c.shape[1:] == A_bar.shape, c=c, A_bar=A_bar)
    version = backend.resolve(c.device)
    if version == "reference":
        return vandermonde_reference(c, A_bar, L)
    kernels = backend.triton_version("vandermonde") if version == "triton" else vandermonde_cpu
    return _Vandermonde.apply(c, A_bar, L, kernels)


class _Vandermonde(torch.autograd.Function):
    @staticmethod
    def forward(ctx, c, A_bar, L, kernels):
        ctx.save_for_backward(c, A_bar)
        ctx.kernels = kernels
        return kernels.vandermonde_forward(c, A_bar, L)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return *ctx.kernels.vandermonde_backward(*ctx.saved_tensors, grad), None, None
