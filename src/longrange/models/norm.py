"""Normalisation whose statistics never see padding."""

from typing import Literal

import torch
from torch import Tensor, nn

from longrange.kernels import backend, batch_norm, processes


class Norm(nn.Module):
    """A norm over (B, L, H), called with (x, lengths); lengths (B,), or None where every step is valid.

    Attributes:
        clears_padding: what it gives is zero beyond a sequence's length, whatever stood there.
    """

    @property
    def clears_padding(self) -> bool:
        """See the class."""
        return False

    def fork(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised x for a residual branch, and x for the sum after it, both (B, L, H)."""
        return self(x, lengths), x


def make_norm(kind: Literal["batch", "layer"], d_model: int, momentum: float) -> Norm:
    """A norm by name.

    Args:
        kind: "batch" (per feature, over batch and time) or "layer" (per step, over features).
        d_model: H.
        momentum: weight of the newest batch in the running statistics of a batch norm.
    Raises:
        ValueError: an unknown kind.
    """
    if kind == "batch":
        return MaskedBatchNorm(d_model, momentum)
    if kind == "layer":
        return StepwiseLayerNorm(d_model)
    raise ValueError(f"norm={kind!r}: must be batch or layer")


class NoNorm(Norm):
    """Leaves x as it is."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x, (B, L, H)."""
        return x


class StepwiseLayerNorm(nn.LayerNorm, Norm):
    """LayerNorm over the features of each step; steps do not mix, so padding cannot matter."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise x, (B, L, H)."""
        return super().forward(x)


class MaskedBatchNorm(nn.BatchNorm1d, Norm):
    """BatchNorm over batch and time, with statistics of the valid steps only.

    In a distributed training the batch is that of all processes together.

    Args:
        d_model: H.
        momentum: weight of the newest batch in the running statistics.
    Raises:
        ValueError: a weight that is none.
    """

    momentum: float

    def __init__(self, d_model: int, momentum: float):
        if not 0 <= momentum <= 1:
            raise ValueError(f"norm_momentum={momentum}: must be between 0 and 1")
        super().__init__(d_model, momentum=momentum)

    @property
    def clears_padding(self) -> bool:
        """See `Norm`: in training, where padded steps have no gradient either."""
        return self.training

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise x, (B, L, H); lengths (B,), or None where every step is valid."""
        return self.fork(x, lengths)[0]

    def fork(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Norm.fork`."""
        # Where every step is valid and no kernel of ours runs, torch's own takes fewer passes than our reference. It
        # refuses a single step, whose variance is zero.
        several = x.shape[0] * x.shape[1] > 1
        plain = lengths is None and several and backend.resolve(x.device) == "reference" and not processes.several()
        if plain or not self.training:
            return super().forward(x.flatten(0, 1)).view_as(x), x
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1], device=x.device)
        y, skip, *moments = batch_norm(x, lengths, self.weight, self.bias, self.eps)
        self._update_running(*moments)
        return y, skip

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Let the batch into the running statistics, its variance without bias, as torch does."""
        newest = {"running_mean": mean, "running_var": variance * (count / (count - 1).clamp(min=1))}
        for name, value in newest.items():
            self.get_buffer(name).lerp_(value, self.momentum)
        self.get_buffer("num_batches_tracked").add_(1)
