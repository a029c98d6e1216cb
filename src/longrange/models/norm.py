"""Normalisation whose statistics never see padding."""

from typing import Literal

import torch
from torch import Tensor, nn

from longrange.layers.base import valid_steps


def make_norm(kind: Literal["batch", "layer"], d_model: int, momentum: float) -> nn.Module:
    """A norm over (B, L, H), called with (x, lengths).

    Args:
        kind: "batch" (per feature, over batch and time) or "layer" (per step, over features).
        d_model: H.
        momentum: weight of the newest batch in the running statistics of a batch norm.
    Raises:
        ValueError: an unknown kind.
    """
    if kind == "batch":
        return MaskedBatchNorm(d_model, momentum=momentum)
    if kind == "layer":
        return StepwiseLayerNorm(d_model)
    raise ValueError(f"norm={kind!r}: must be batch or layer")


class StepwiseLayerNorm(nn.LayerNorm):
    """LayerNorm over the features of each step; steps do not mix, so padding cannot matter."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise x, (B, L, H)."""
        return super().forward(x)


class MaskedBatchNorm(nn.BatchNorm1d):
    """BatchNorm over batch and time, with statistics of the valid steps only."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise x, (B, L, H); (B,) lengths or None where every step is valid."""
        flat = x.flatten(0, 1)
        if lengths is None or not self.training:
            return super().forward(flat).view_as(x)
        valid = valid_steps(lengths, x.shape[1]).flatten().to(self.weight.dtype)
        y, mean, variance = _MaskedBatchNorm.apply(flat.to(valid.dtype), valid, self.weight, self.bias, self.eps)
        self._update_running(mean, variance, valid.sum())
        return y.view_as(x).to(x.dtype)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Let the batch into the running statistics, its variance without bias, as torch does."""
        newest = {"running_mean": mean, "running_var": variance * (count / (count - 1).clamp(min=1))}
        for name, value in newest.items():
            self.get_buffer(name).lerp_(value, self.momentum or 0.0)
        self.get_buffer("num_batches_tracked").add_(1)


class _MaskedBatchNorm(torch.autograd.Function):
    """Weighted sums instead of means; the textbook gradient, on the valid rows alone."""

    @staticmethod
    def forward(ctx, x, valid, weight, bias, eps):
        count = valid.sum()
        mean = (valid @ x) / count
        centred = x - mean
        variance = (valid @ centred.square()) / count
        inverse = torch.rsqrt(variance + eps)
        ctx.save_for_backward(centred, valid, weight, inverse, count)
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(bias, centred, inverse * weight), mean, variance

    @staticmethod
    def backward(ctx, grad_y, _mean, _variance):
        centred, valid, weight, inverse, count = ctx.saved_tensors
        grad_bias = valid @ grad_y
        grad_weight = (valid @ (grad_y * centred)) * inverse
        grad_x = torch.addcmul(-grad_bias / count, centred, -grad_weight * inverse / count)
        grad_x = grad_x.add_(grad_y).mul_(inverse * weight).mul_(valid.unsqueeze(-1))
        return grad_x, None, grad_weight, grad_bias, None
