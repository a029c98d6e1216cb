"""The dense layer of the whole stack: LeCun-normal weights and zero bias, as in the S5 code (Flax's default)."""

import torch
from torch import Tensor, nn

from longrange.kernels import linear
from longrange.ssm import lecun_normal


class Dense(nn.Linear):
    """A linear map over the last axis; its weights start with variance 1 / in_features, its bias at zero."""

    def reset_parameters(self) -> None:
        """Draw the initial weights."""
        with torch.no_grad():
            self.weight.copy_(lecun_normal(*self.weight.shape, fan_in=self.in_features))
            self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return linear(x, self.weight, self.bias)
