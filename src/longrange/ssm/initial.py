"""Initial values: random draws that the papers' results depend on."""

import math

import torch
from torch import Tensor

# Standard deviation of a standard normal cut at two sigma; dividing by it restores unit variance.
_TRUNCATED_STD = 0.87962566103423978


def lecun_normal(*shape: int, fan_in: int) -> Tensor:
    """Normal draws cut at two sigma, rescaled to variance 1 / fan_in (LeCun's rule, as the S5 code has it).

    Returns:
        (*shape) in the default dtype.
    """
    unit = torch.nn.init.trunc_normal_(torch.empty(shape), a=-2.0, b=2.0)
    return unit / (_TRUNCATED_STD * math.sqrt(fan_in))


def log_uniform(size: int, low: float, high: float) -> Tensor:
    """Logarithms of step sizes drawn log-uniformly from [low, high].

    Returns:
        (size,) in the default dtype.
    """
    return math.log(low) + torch.rand(size) * (math.log(high) - math.log(low))
