"""S5's activation: GELU, product, gate, dropout's factors and skip sum in one kernel.

Between each of these, features of the whole batch would be written to memory and read again; here some steps at a time
pass through all of them, and for the backward pass nothing but the product is kept: GELU is computed again. Source: S5
(arXiv 2208.04933), appendix G.1; the S5 code (SequenceLayer).
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import half_glu_cpu
from longrange.kernels.linear import product_type
from longrange.kernels.pointwise import gated, gelu_fork, spreads
from longrange.kernels.shapes import check_fit
from longrange.kernels.tiles import goes_in_tiles


def half_glu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    skip: Tensor,
    after: Tensor | None = None,
    scale: Tensor | None = None,
    *,
    of_gelu: bool,
) -> Tensor:
    """skip + scale * value * sigmoid(g W^T + b), g = after * gelu(x), the value being g or x.

    Args:
        x: (B, L, H) float.
        weight: (H, H) float.
        bias: (H,) float.
        skip: (B, L, H) float.
        after: factor without gradient, (B or 1, L or 1, H); 1 where None.
        scale: as after.
        of_gelu: the value is g (half_glu1 of S5), not x (half_glu2).
    Returns:
        (B, L, H) float.
    Raises:
        ValueError: shapes that do not fit each other.
    """
    H = x.shape[-1]
    fits = skip.shape == x.shape and weight.shape == (H, H) and bias.shape == (H,)
    fits = fits and spreads(after, x.shape) and spreads(scale, x.shape)
    check_fit(fits, x=x, weight=weight, bias=bias, skip=skip, after=after, scale=scale)
    if goes_in_tiles(x, skip, weight, bias, after, scale):
        return _HalfGlu.apply(x.float(), weight, bias, skip.float(), after, scale, of_gelu, product_type(weight))
    g, same, x = gelu_fork(x, after)
    return gated(g if of_gelu else x, same, weight, bias, scale, skip)


class _HalfGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, skip, after, scale, of_gelu, dtype):
        y, z = half_glu_cpu.half_glu(x, weight, bias, skip, after, scale, of_gelu, dtype)
        ctx.save_for_backward(x, weight, z, after, scale)
        ctx.of_gelu = of_gelu
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        grads = half_glu_cpu.half_glu_backward(*ctx.saved_tensors, ctx.of_gelu, grad)
        return *grads, grad if ctx.needs_input_grad[3] else None, None, None, None, None
