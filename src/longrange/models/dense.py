"""The dense layers of the whole stack: one product, two sets of initial values."""

import torch
from torch import Tensor, nn

from longrange.kernels import linear
from longrange.ssm import lecun_normal


class Linear(nn.Linear):
    """A linear map over the last axis; weights and bias start uniform within 1 / sqrt(in_features) (the S4 code)."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return linear(x, self.weight, self.bias)


class Dense(Linear):
    """As `Linear`; weights start LeCun-normal, of variance 1 / in_features, and the bias at zero, as in the S5 code."""

    def reset_parameters(self) -> None:
        """Draw the initial weights."""
        with torch.no_grad():
            self.weight.copy_(lecun_normal(*self.weight.shape, fan_in=self.in_features))
            self.bias.zero_()
