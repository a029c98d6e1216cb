"""Batch normalisation whose statistics are those of the valid steps of padded sequences.

Where several processes share a batch, the statistics are those of all of them together, and so are the gradients.

Source: Ioffe and Szegedy (arXiv 1502.03167); the gradient is that of section 3, with sums over valid steps.
"""

import torch
from torch import Tensor

from longrange.kernels import backend, processes
from longrange.kernels import batch_norm_cpu as cpu
from longrange.kernels.padding import valid_steps


def batch_norm(
    x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Normalise each feature over batch and time, on the valid steps.

    x is handed through for the residual sum: both of its gradients then arrive together and take one pass.

    Args:
        x: (B, L, H) float.
        lengths: valid steps, (B,) int64.
        weight: (H,), of x's dtype.
        bias: (H,).
        eps: added to the variance.
    Returns:
        (B, L, H) normalised x, zero in the padding; x; mean and biased variance, (H,) each, and the number of valid
        steps, (), without gradients.
    """
    if backend.resolve(x.device) == "cpu":
        return _CpuBatchNorm.apply(x, lengths, weight, bias, eps)
    return batch_norm_reference(x, lengths, weight, bias, eps)


def batch_norm_reference(
    x: Tensor, lengths: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As `batch_norm`, in plain torch, differentiated by autograd."""
    valid = valid_steps(lengths, x.shape[1]).unsqueeze(-1).to(x.dtype)
    count = processes.total(valid.sum())
    mean = processes.total((x * valid).sum((0, 1))) / count
    variance = processes.total(((x - mean).square() * valid).sum((0, 1))) / count
    y = ((x - mean) * torch.rsqrt(variance + eps) * weight + bias) * valid
    return y, x, mean.detach(), variance.detach(), count


class _CpuBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lengths, weight, bias, eps):
        mean, variance, count = processes.merged_moments(*cpu.moments(x, lengths), lengths.sum().to(x.dtype))
        inverse = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, lengths, weight, mean, inverse, count)
        ctx.mark_non_differentiable(mean, variance, count)
        ctx.set_materialize_grads(False)
        return cpu.affine(x, lengths, mean, weight * inverse, bias), x, mean, variance, count

    @staticmethod
    def backward(ctx, grad_y, grad_skip, *_):
        if grad_y is None:
            return grad_skip, None, None, None, None
        x, lengths, weight, mean, inverse, count = ctx.saved_tensors
        plain, product = cpu.sums(grad_y, x, lengths, mean)
        every_plain, every_product = processes.total(torch.stack([plain, product]))
        scale = weight * inverse
        slope, shift = -scale * every_product * inverse.square() / count, -scale * every_plain / count
        grad_x = cpu.combine(grad_y, x, lengths, mean, scale, slope, shift, grad_skip)
        return grad_x, None, product * inverse, plain, None
