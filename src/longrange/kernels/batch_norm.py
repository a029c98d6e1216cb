"""Batch normalisation whose statistics are those of the valid steps of padded sequences.

Source: Ioffe and Szegedy (arXiv 1502.03167); the gradient is that of section 3, with sums over valid steps.
"""

import torch
from torch import Tensor

from longrange.kernels import backend
from longrange.kernels import batch_norm_cpu as cpu
from longrange.kernels.padding import valid_steps


def batch_norm(
    x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalise each feature over batch and time, on the valid steps.

    x is handed through for the residual sum: both of its gradients then arrive together and take one pass.

    Args:
        x: (B, L, H) float.
        lengths: valid steps, (B,) int64.
        weight: (H,), of x's dtype.
        bias: (H,).
        eps: added to the variance.
    Returns:
        (B, L, H) normalised x, zero in the padding; x; mean and biased variance, (H,) each, without gradients.
    """
    if backend.resolve(x.device) == "cpu":
        return _CpuBatchNorm.apply(x, lengths, weight, bias, eps)
    return batch_norm_reference(x, lengths, weight, bias, eps)


def batch_norm_reference(
    x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `batch_norm`, in plain torch, differentiated by autograd."""
    valid = valid_steps(lengths, x.shape[1]).unsqueeze(-1).to(x.dtype)
    count = valid.sum()
    mean = (x * valid).sum((0, 1)) / count
    variance = ((x - mean).square() * valid).sum((0, 1)) / count
    y = ((x - mean) * torch.rsqrt(variance + eps) * weight + bias) * valid
    return y, x, mean.detach(), variance.detach()


class _CpuBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lengths, weight, bias, eps):
        mean, variance = cpu.moments(x, lengths)
        inverse = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, lengths, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return cpu.affine(x, lengths, mean, weight * inverse, bias), x, mean, variance

    @staticmethod
    def backward(ctx, grad_y, grad_skip, _mean, _variance):
        if grad_y is None:
            return grad_skip, None, None, None, None
        x, lengths, weight, mean, inverse = ctx.saved_tensors
        grad_bias, product = cpu.sums(grad_y, x, lengths, mean)
        grad_weight, scale, count = product * inverse, weight * inverse, lengths.sum()
        slope, shift = -scale * grad_weight * inverse / count, -scale * grad_bias / count
        grad_x = cpu.combine(grad_y, x, lengths, mean, scale, slope, shift, grad_skip)
        return grad_x, None, grad_weight, grad_bias, None
