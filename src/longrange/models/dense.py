"""The dense layer of the whole stack: LeCun-normal weights and zero bias, as in the S5 code (Flax's default)."""

import torch
from torch import nn

from longrange.ssm import lecun_normal


def dense(size_in: int, size_out: int) -> nn.Linear:
    """A linear map whose weights have variance 1 / size_in and whose bias is zero."""
    linear = nn.Linear(size_in, size_out)
    with torch.no_grad():
        linear.weight.copy_(lecun_normal(size_out, size_in, fan_in=size_in))
        linear.bias.zero_()
    return linear
