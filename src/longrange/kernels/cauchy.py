"""Sums of conjugate pairs of poles at points on the imaginary axis: the Cauchy products of S4's kernel.

Source: S4 (arXiv 2111.00396), section 3 and appendix C.3: the generating function of a diagonal plus low-rank system
is a few such sums over the same poles.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, cauchy_cpu
from longrange.kernels.cauchy_reference import cauchy_reference
from longrange.kernels.shapes import check_fit


def cauchy(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """J weighted sums over poles and their conjugates, sum_n v_n / (z - Lambda_n) + conj(v_n) / (z - conj(Lambda_n)).

    Differentiable in v and Lambda alone; a time step enters through the poles.

    Args:
        v: weights, (J, 2, H, N) float: real parts, imaginary parts.
        Lambda: one pole of each pair, (2, H, N) float, negative real parts.
        y: (K,) float, K at least 1: the points z = i y.
    Returns:
        (J, 2, H, K).
    Raises:
        ValueError: shapes that do not fit each other.
    """
    check_fit(v.shape[1:] == Lambda.shape, v=v, Lambda=Lambda)
    version = backend.resolve(v.device)
    if version == "reference":
        return cauchy_reference(v, Lambda, y)
    return _Cauchy.apply(v, Lambda, y, backend.triton_version("cauchy") if version == "triton" else cauchy_cpu)


class _Cauchy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, Lambda, y, kernels):
        ctx.save_for_backward(v, Lambda, y)
        ctx.kernels = kernels
        return kernels.cauchy_forward(v, Lambda, y)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return *ctx.kernels.cauchy_backward(*ctx.saved_tensors, grad), None, None
