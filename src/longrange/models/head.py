"""From one vector a sequence to the task's outputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longrange.models.dense import Dense
from longrange.models.spec import TaskSpec


def make_head(spec: TaskSpec, d_model: int) -> nn.Module:
    """A linear map, or for paired tasks the head that compares two documents."""
    return PairHead(d_model, spec.output_size) if spec.paired else Dense(d_model, spec.output_size)


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
