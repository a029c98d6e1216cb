"""S4's activation: GELU, product, gate, dropout's factors and skip sum in one kernel.

Between each of these, features of the whole batch would be written to memory and read again; here some steps at a time
pass through all of them, and for the backward pass nothing but the product is kept: GELU is computed again. Source: the
S4 code, version 4 (FFTConv, S4Block).
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import mixed_glu_cpu
from longrange.kernels.linear import product_type
from longrange.kernels.pointwise import gelu_fork, glu, spreads
from longrange.kernels.shapes import check_fit
from longrange.kernels.tiles import goes_in_tiles


def mixed_glu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    skip: Tensor,
    before: Tensor | None = None,
    after: Tensor | None = None,
    scale: Tensor | None = None,
) -> Tensor:
    """skip + scale * value * sigmoid(gate), (value, gate) = after * gelu(before * x) W^T + b, with exact GELU.

    Args:
        x: (B, L, K) float.
        weight: (2 H, K) float, value's half first.
        bias: (2 H,) float.
        skip: (B, L, H) float.
        before: factor without gradient, (B or 1, L or 1, K); 1 where None.
        after: as before.
        scale: factor without gradient, (B or 1, L or 1, H); 1 where None.
    Returns:
        (B, L, H) float.
    Raises:
        ValueError: shapes that do not fit each other.
    """
    fits = weight.shape == (2 * skip.shape[-1], x.shape[-1]) and bias.shape == weight.shape[:1]
    fits = fits and skip.shape[:-1] == x.shape[:-1] and spreads(scale, skip.shape)
    fits = fits and spreads(before, x.shape) and spreads(after, x.shape)
    check_fit(fits, x=x, weight=weight, bias=bias, skip=skip, before=before, after=after, scale=scale)
    if goes_in_tiles(x, skip, weight, bias, before, after, scale):
        return _MixedGlu.apply(x.float(), weight, bias, skip.float(), before, after, scale, product_type(weight))
    _, g, _ = gelu_fork(x, after, before, exact=True)
    return glu(g, weight, bias, scale, skip)


class _MixedGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, skip, before, after, scale, dtype):
        y, z = mixed_glu_cpu.mixed_glu(x, weight, bias, skip, before, after, scale, dtype)
        ctx.save_for_backward(x, weight, z, before, after, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        grads = mixed_glu_cpu.mixed_glu_backward(*ctx.saved_tensors, grad)
        return *grads, grad if ctx.needs_input_grad[3] else None, None, None, None, None
