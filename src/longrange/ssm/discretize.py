"""Discretisation of diagonal systems x' = Lambda x + B u with a step Delta.

A rule maps (Lambda, Delta) to (A_bar, gain), elementwise; then B_bar = gain * B, row by row, and
x_k = A_bar x_{k-1} + B_bar u_k. Source: S5 (arXiv 2208.04933), section 2.1 and appendix B.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def zoh(Lambda: Tensor, Delta: Tensor) -> tuple[Tensor, Tensor]:
    """Zero-order hold: the input is constant over a step.

    Args:
        Lambda: eigenvalues, (P,) complex, none of them zero.
        Delta: step sizes, (P,) real and positive.
    Returns:
        A_bar = exp(Lambda Delta) and gain = (A_bar - 1) / Lambda, each (P,) complex.
    """
    A_bar = torch.exp(Lambda * Delta)
    return A_bar, (A_bar - 1) / Lambda


def bilinear(Lambda: Tensor, Delta: Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear (Tustin) rule: the trapezoid over a step.

    Args:
        Lambda: eigenvalues, (P,) complex.
        Delta: step sizes, (P,) real and positive.
    Returns:
        A_bar = (1 + Lambda Delta / 2) / (1 - Lambda Delta / 2) and gain = Delta / (1 - Lambda Delta / 2), (P,) complex.
    """
    backward = 1 / (1 - Lambda * (Delta / 2))
    return backward * (1 + Lambda * (Delta / 2)), backward * Delta


DISCRETIZATIONS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {"zoh": zoh, "bilinear": bilinear}
