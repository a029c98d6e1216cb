"""Dropout that drops a feature of a sequence for all of its steps at once."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SharedDropout(nn.Dropout):
    """Dropout with one mask per sequence and feature, shared along time (S5 and S4 alike)."""

    def forward(self, x: Tensor) -> Tensor:
        """x, (B, L, H), with whole features zeroed and the rest scaled by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return x
        return x * F.dropout(torch.ones_like(x[:, :1]), self.p)
