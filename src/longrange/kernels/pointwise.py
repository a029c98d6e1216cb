"""The pointwise work of a block: GELU, and the gate of a gated linear unit, with dropout's factors and the skip sum.

gelu(x) = x Phi(x), or x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)) in its tanh form; gated(v, z) = v sigmoid(z). In
float32 on the CPU, and in any precision on a GPU, each is one pass over memory, forward and backward; what matrix
products give and take may be bfloat16 on the CPU too. Elsewhere torch's own functions do the work.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from longrange.kernels import backend, pointwise_cpu
from longrange.kernels.linear import linear
from longrange.kernels.shapes import check_fit


def gelu(x: Tensor, after: Tensor | None = None, before: Tensor | None = None, *, exact: bool = False) -> Tensor:
    """after * gelu(before * x), the Gaussian error linear unit between two dropouts.

    Args:
        x: (B, L, H) float.
        after: factor without gradient, (B or 1, L or 1, H); 1 where None.
        before: as after.
        exact: with the error function instead of the tanh form.
    Returns:
        (B, L, H) float.
    Raises:
        ValueError: shapes that do not fit each other; all functions here refuse them.
    """
    return _gelu(x, after, before, exact)[0]


def gelu_fork(
    x: Tensor, after: Tensor | None = None, before: Tensor | None = None, *, exact: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """`gelu`, the same again for a product, and x for a third user: gradients meet without a pass for each sum.

    Under autocast to bfloat16 on the CPU, what is for a product is bfloat16 already.
    """
    return _gelu(x, after, before, exact)


def gated(
    value: Tensor, x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor | None = None, skip: Tensor | None = None
) -> Tensor:
    """skip + scale * value * sigmoid(x W^T + b).

    Args:
        value: (B, L, H) float.
        x: (B, L, K) float.
        weight: (H, K) float.
        bias: (H,) float.
        scale: factor without gradient, (B or 1, L or 1, H); 1 where None.
        skip: (B, L, H) float; 0 where None.
    Returns:
        (B, L, H) float.
    """
    fits = value.shape == (*x.shape[:-1], len(weight)) and bias.shape == weight.shape[:1]
    fits = fits and spreads(scale, value.shape) and (skip is None or skip.shape == value.shape)
    check_fit(fits, value=value, x=x, weight=weight, bias=bias, scale=scale, skip=skip)
    if kernels := _kernels(value, x, weight, bias, scale, skip):
        gate = _product_taken_by(kernels, linear(x, weight))
        return _Gated.apply(*_taken_by(kernels, value), gate, *_taken_by(kernels, bias, scale, skip), kernels)
    return _plus(skip, _times(scale, value * torch.sigmoid(linear(x, weight, bias))))


def glu(x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor | None = None, skip: Tensor | None = None) -> Tensor:
    """skip + scale * value * sigmoid(gate), (value, gate) = x W^T + b.

    Args:
        x: (B, L, K) float.
        weight: (2 H, K) float, value's half first.
        bias: (2 H,) float.
        scale: factor without gradient, (B or 1, L or 1, H); 1 where None.
        skip: (B, L, H) float; 0 where None.
    Returns:
        (B, L, H) float.
    """
    shape = (*x.shape[:-1], len(weight) // 2)
    fits = bias.shape == weight.shape[:1] and len(weight) % 2 == 0
    fits = fits and spreads(scale, shape) and (skip is None or skip.shape == shape)
    check_fit(fits, x=x, weight=weight, bias=bias, scale=scale, skip=skip)
    if kernels := _kernels(x, weight, bias, scale, skip):
        z = _product_taken_by(kernels, linear(x, weight))
        return _Glu.apply(z, *_taken_by(kernels, bias, scale, skip), kernels)
    return _plus(skip, _times(scale, F.glu(linear(x, weight, bias))))


@dataclass(frozen=True)
class Scaled:
    """D u, to be computed when it is added to something; see `scaled_fork`.

    Attributes:
        D: (H,).
        u: (B, L, H).
        kernels: what adds it without its gradient, which the fork takes; None where the sum has it.
    """

    D: Tensor
    u: Tensor
    kernels: ModuleType | None


def scaled_fork(D: Tensor, u: Tensor) -> tuple[Tensor, Scaled]:
    """u for a product, as from `gelu_fork`, and D u for one `add_scaled`: the gradients of u meet in one pass.

    Args:
        D: (H,) float.
        u: (B, L, H) float.
    """
    check_fit(D.shape == u.shape[-1:], D=D, u=u)
    kernels = _kernels(D, u)
    if kernels is None:
        return u, Scaled(D, u, None)
    u, stand_in = _ScaledFork.apply(*_taken_by(kernels, D, u), kernels, _narrow_products(kernels))
    return u, Scaled(D.detach(), stand_in, kernels)


def add_scaled(y: Tensor, scaled: Scaled) -> Tensor:
    """y + D u, (B, L, H) float."""
    check_fit(y.shape == scaled.u.shape, y=y, u=scaled.u)
    if scaled.kernels is None:
        return torch.addcmul(y, scaled.D, scaled.u)
    return _AddForked.apply(_product_taken_by(scaled.kernels, y), scaled.D, scaled.u, scaled.kernels)


def _gelu(x: Tensor, after: Tensor | None, before: Tensor | None, exact: bool) -> tuple[Tensor, Tensor, Tensor]:
    check_fit(spreads(before, x.shape) and spreads(after, x.shape), x=x, before=before, after=after)
    if kernels := _kernels(x, before, after):
        return _Gelu.apply(*_taken_by(kernels, x, before, after), exact, kernels, _narrow_products(kernels))
    y = _times(after, F.gelu(_times(before, x), approximate="none" if exact else "tanh"))
    return y, y, x


def spreads(factor: Tensor | None, shape: Sequence[int]) -> bool:
    """Whether a factor, (B or 1, L or 1, H), spreads over tensors (B, L, H)."""
    if factor is None:
        return True
    fits = len(factor.shape) == len(shape) and factor.shape[-1] == shape[-1]
    return fits and all(n in (1, m) for n, m in zip(factor.shape, shape, strict=True))


def _kernels(first: Tensor, *others: Tensor | None) -> ModuleType | None:
    """What computes with these tensors in one pass; None where plain torch does the work."""
    version = backend.resolve(first.device)
    if version == "triton":
        return backend.triton_version("pointwise")
    precisions = {t.dtype for t in (first, *others) if t is not None}
    single = torch.float32 in precisions and precisions <= {torch.float32, torch.bfloat16}
    return pointwise_cpu if version == "cpu" and single else None


def _taken_by(kernels: ModuleType, *tensors: Tensor | None) -> Iterator[Tensor | None]:
    """The tensors in a precision that the kernels take, float32 on the CPU."""
    return (t.float() if kernels is pointwise_cpu and t is not None else t for t in tensors)


def _product_taken_by(kernels: ModuleType, z: Tensor) -> Tensor:
    """As `_taken_by`, of what a product gives: on the CPU it may be bfloat16, as autocast has it."""
    return z.float() if kernels is pointwise_cpu and z.dtype != torch.bfloat16 else z


def _narrow_products(kernels: ModuleType) -> bool:
    """Whether autocast would copy a product's factors to bfloat16, which the kernels can spare it."""
    on = kernels is pointwise_cpu and torch.is_autocast_enabled("cpu")
    return on and torch.get_autocast_dtype("cpu") == torch.bfloat16


def _times(factor: Tensor | None, x: Tensor) -> Tensor:
    return x if factor is None else factor * x


def _plus(addend: Tensor | None, x: Tensor) -> Tensor:
    return x if addend is None else addend + x


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, before, after, exact, kernels, narrow_product):
        ctx.save_for_backward(x, before, after)
        ctx.exact, ctx.kernels = exact, kernels
        ctx.set_materialize_grads(False)
        if narrow_product:
            return *kernels.gelu_and_copy(x, before, after, exact), x
        y = kernels.gelu(x, before, after, exact)
        return y, y.view_as(y), x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, other, direct):
        grad, other = (other, None) if grad is None else (grad, other)
        if grad is not None:
            direct = ctx.kernels.gelu_backward(*ctx.saved_tensors, ctx.exact, grad, other, direct)
        return direct, None, None, None, None, None


class _Gated(torch.autograd.Function):
    """`gated` of a finished product: the bias is added, and its gradient summed, in the same pass."""

    @staticmethod
    def forward(ctx, value, gate, bias, scale, skip, kernels):
        ctx.save_for_backward(value, gate, bias, scale)
        ctx.kernels = kernels
        return kernels.gated(value, gate, bias, scale, skip)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        to_skip = grad if ctx.needs_input_grad[4] else None
        return *ctx.kernels.gated_backward(*ctx.saved_tensors, grad), None, to_skip, None


class _Glu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, bias, scale, skip, kernels):
        ctx.save_for_backward(z, bias, scale)
        ctx.kernels = kernels
        return kernels.glu(z, bias, scale, skip)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        to_skip = grad if ctx.needs_input_grad[3] else None
        return *ctx.kernels.glu_backward(*ctx.saved_tensors, grad), None, to_skip, None


class _ScaledFork(torch.autograd.Function):
    """u twice, the second time in place of D u: what comes back there is the gradient of the product."""

    @staticmethod
    def forward(ctx, D, u, kernels, narrow_product):
        ctx.save_for_backward(D, u)
        ctx.kernels = kernels
        ctx.set_materialize_grads(False)
        return u.bfloat16() if narrow_product else u.view_as(u), u.view_as(u)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_u, grad_scaled):
        if grad_scaled is None:
            return None, grad_u, None, None
        return *ctx.kernels.scaled_backward(*ctx.saved_tensors, grad_scaled, grad_u), None, None


class _AddForked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, D, u, kernels):
        if kernels is pointwise_cpu:
            return kernels.add_scaled(y, D, u)
        with torch.autocast(y.device.type, enabled=False):  # it would first copy y to the wider precision
            return torch.addcmul(y, D, u)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return grad, None, grad, None
