"""Discretisation of diagonal systems x' = Lambda x + B u with a step Delta.

A rule maps (Lambda, Delta) to (A_bar, gain), elementwise; then B_bar = gain * B, row by row, and
x_k = A_bar x_{k-1} + B_bar u_k. Lambda and Delta may have any shapes that broadcast: (P,) and (P,) with a step per
state, (H, N/2) and (H, 1) with a step per feature. Sources: S5 (arXiv 2208.04933), section 2.1 and appendix B; S4D
(arXiv 2206.11893), section 3; DSS (arXiv 2203.14343), section 3.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# The normalisation of DSS is zero where a whole number of turns fits into L steps; its square is kept above this bound.
_LEAST_SQUARE = 1e-7


def zoh(Lambda: Tensor, Delta: Tensor) -> tuple[Tensor, Tensor]:
    """Zero-order hold: the input is constant over a step.

    Args:
        Lambda: eigenvalues, (...) complex, none of them zero.
        Delta: step sizes, (...) real and positive.
    Returns:
        A_bar = exp(Lambda Delta) and gain = (A_bar - 1) / Lambda, each (...) complex.
    """
    exponent = Lambda * Delta
    return torch.exp(exponent), torch.expm1(exponent) / Lambda


def bilinear(Lambda: Tensor, Delta: Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear (Tustin) rule: the trapezoid over a step.

    Args:
        Lambda: eigenvalues, (...) complex.
        Delta: step sizes, (...) real and positive.
    Returns:
        A_bar = (1 + Lambda Delta / 2) / (1 - Lambda Delta / 2) and gain = Delta / (1 - Lambda Delta / 2), each (...)
        complex.
    """
    backward = 1 / (1 - Lambda * (Delta / 2))
    return backward * (1 + Lambda * (Delta / 2)), backward * Delta


DISCRETIZATIONS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {"zoh": zoh, "bilinear": bilinear}


def dss_softmax(Lambda: Tensor, Delta: Tensor, L: int) -> tuple[Tensor, Tensor]:
    """The softmax rule of DSS: each state's response over L steps is a softmax over time, divided by its eigenvalue.

    Args:
        Lambda: eigenvalues, (...) complex, none of them zero and none with a positive real part.
        Delta: step sizes, (...) real and positive.
        L: length of the kernel.
    Returns:
        A_bar = exp(Lambda Delta) and gain = (A_bar - 1) / (Lambda (A_bar^L - 1)), each (...) complex.
    """
    exponent = Lambda * Delta
    total = torch.expm1(exponent * L) * Lambda
    gain = torch.expm1(exponent) * total.conj() / (total.real**2 + total.imag**2 + _LEAST_SQUARE)
    return torch.exp(exponent), gain
