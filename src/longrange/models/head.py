"""From one vector a sequence to the task's outputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longrange.models.dense import Dense
from longrange.models.spec import TaskSpec


def make_head(spec: TaskSpec, d_model: int) -> nn.Module:
    """A linear map; for paired tasks the head that compares two documents, for regression one that knows its units."""
    if spec.paired:
        return PairHead(d_model, spec.output_size)
    return RegressionHead(d_model, spec.output_size) if spec.loss == "mse" else Dense(d_model, spec.output_size)


class RegressionHead(Dense):
    """A linear map to values around their mean over the training split, in units of their standard deviation there.

    Mean and deviation are stored with the weights. Without them the bias needs many steps of the learning rate to
    reach, say, a heart rate of 90, and nothing else is learnt until then.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, d_model: int, output_size: int):
        super().__init__(d_model, output_size)
        self.register_buffer("mean", torch.zeros(output_size))
        self.register_buffer("std", torch.ones(output_size))

    def calibrate(self, targets: Tensor) -> None:
        """Take mean and deviation from all targets of the training split, (n, output_size) float."""
        targets = targets.double()
        std = targets.std(0, correction=0)
        self.mean.copy_(targets.mean(0))
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to (B, output_size), in the targets' units and never in half precision."""
        return self.mean + self.std * super().forward(x).to(self.mean.dtype)


class PairHead(nn.Module):
    """Compares two encodings: [x1, x2, x1 - x2, x1 * x2] through one hidden layer (the S4 code's retrieval head)."""

    def __init__(self, d_model: int, output_size: int):
        super().__init__()
        self.hidden = Dense(4 * d_model, d_model)
        self.out = Dense(d_model, output_size)

    def forward(self, x: Tensor) -> Tensor:
        """(2B, H), all first documents, then all second ones, to (B, output_size)."""
        first, second = x.chunk(2)
        features = torch.cat([first, second, first - second, first * second], dim=-1)
        return self.out(F.gelu(self.hidden(features)))
