"""Batch normalisation whose statistics are those of the valid steps of padded sequences.

Where several processes share a batch, the statistics are those of all of them together, and so are the gradients.

Source: Ioffe and Szegedy (arXiv 1502.03167); the gradient is that of section 3, with sums over valid steps.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from longrange.kernels import backend, batch_norm_cpu, processes
from longrange.kernels.padding import valid_steps
from longrange.kernels.shapes import check_fit


def batch_norm(
    x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Normalise each feature over batch and time, on the valid steps.

    x is handed through for the residual sum: both of its gradients then arrive together and take one pass.

    Args:
        x: (B, L, H) float.
        lengths: valid steps, (B,) int64; a length above L counts as L.
        weight: (H,) float32 or float64; all arithmetic is in its precision.
        bias: (H,).
        eps: added to the variance.
    Returns:
        (B, L, H) normalised x, of x's dtype, zero in the padding; x; mean and biased variance, (H,) each, and the
        number of valid steps, (), without gradients.
    Raises:
        ValueError: shapes that do not fit each other.
    """
    fits = lengths.shape == x.shape[:1] and weight.shape == bias.shape == x.shape[2:]
    check_fit(fits, x=x, lengths=lengths, weight=weight, bias=bias)
    version = backend.resolve(x.device)
    if version == "triton":
        return _BatchNorm.apply(x, lengths.contiguous(), weight, bias, eps, backend.triton_version("batch_norm"))
    wide = x.to(weight.dtype)
    if version == "cpu":
        y, skip, *moments = _BatchNorm.apply(wide, lengths, weight, bias, eps, batch_norm_cpu)
    else:
        y, skip, *moments = batch_norm_reference(wide, lengths, weight, bias, eps)
    return y.to(x.dtype), skip.to(x.dtype), *moments


def batch_norm_reference(
    x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As `batch_norm` of x in weight's dtype, in plain torch, differentiated by autograd."""
    valid = valid_steps(lengths, x.shape[1]).unsqueeze(-1).to(x.dtype)
    count = processes.total(valid.sum())
    mean = processes.total((x * valid).sum((0, 1))) / count
    variance = processes.total(((x - mean).square() * valid).sum((0, 1))) / count
    y = ((x - mean) * torch.rsqrt(variance + eps) * weight + bias) * valid
    return y, x, mean.detach(), variance.detach(), count


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lengths, weight, bias, eps, kernels):
        mean, variance, count = processes.merged_moments(*kernels.moments(x, lengths))
        ctx.save_for_backward(x, lengths, weight, mean, variance, count)
        ctx.mark_non_differentiable(mean, variance, count)
        ctx.set_materialize_grads(False)
        ctx.eps, ctx.kernels = eps, kernels
        return kernels.normalized(x, lengths, mean, variance, weight, bias, eps), x, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, grad_skip, *_):
        if grad_y is None:
            return grad_skip, None, None, None, None, None
        x, lengths, weight, mean, variance, count = ctx.saved_tensors
        own = ctx.kernels.sums(grad_y, x, lengths, mean, variance, ctx.eps)
        of_batch = mean, variance, count, processes.total(own)
        grad_x = ctx.kernels.combine(grad_y, x, lengths, of_batch, weight, ctx.eps, grad_skip)
        return grad_x, None, own[1], own[0], None, None
