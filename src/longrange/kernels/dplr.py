"""The transform of S4's kernel at the roots of unity: the Cauchy sums and the Woodbury identity in one.

Source: S4 (arXiv 2111.00396), section 3 and appendix C.3.
"""

import torch
from torch import Tensor

from longrange.kernels import backend
from longrange.kernels.cauchy import cauchy
from longrange.kernels.dplr_cpu import transform_backward, transform_forward
from longrange.ssm import transform_from_sums


def dplr_transform(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """Values at the nodes of the generating function of a truncated kernel, with M channels and a low-rank part of R.

    Differentiable in v and Lambda alone; a time step enters through both. For rank 1 on the CPU the sums are combined
    where they are made and never stored; the backward pass makes them again.

    Args:
        v: of `ssm.cauchy_weights`, (M + R, 1 + R, 2, H, N) float: real parts, imaginary parts.
        Lambda: one pole of each pair, (2, H, N) float, negative real parts.
        y: of `ssm.nodes`, (K,) float.
    Returns:
        (M, H, K) complex.
    """
    if v.shape[1] == 2 and backend.resolve(v.device) == "cpu":
        return _Transform.apply(v, Lambda, y)
    return dplr_transform_reference(v, Lambda, y)


def dplr_transform_reference(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """As `dplr_transform`, the sums stored and combined in plain torch; any rank."""
    sums = torch.complex(*cauchy(v.flatten(0, 1), Lambda, y).unbind(1))
    return transform_from_sums(sums.unflatten(0, v.shape[:2]), y)


class _Transform(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, Lambda, y):
        ctx.save_for_backward(v, Lambda, y)
        return transform_forward(v, Lambda, y)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return *transform_backward(*ctx.saved_tensors, grad), None
