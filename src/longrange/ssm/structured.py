"""The state matrix that LSSL trains: diagonals around the inverse of a tridiagonal one, stable for all values.

    x' = -P (D + T^-1) Q x + B u,    P, Q and D diagonal, T tridiagonal

Source: LSSL (arXiv 2110.13985), section 4.2 and appendix D for the structure, of which HiPPO matrices are members; the
bounds that make it stable are ours. With P, Q > 0 the states scaled by sqrt(Q / P) never grow if the symmetric part of
D + T^-1 is positive. T = 1 - S has T^-1 >= 1/2 in that sense where |S| <= 1, so D = -1/2 + exp(.) suffices.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def legs_structure(N: int) -> dict[str, Tensor]:
    """The values at which `structured` is minus the state matrix of HiPPO-LegS.

    Returns:
        T's lower (N - 1,), middle (N,) and upper (N - 1,) diagonals, log_P (N,), log_Q (N,), and log_D, (N,), the
        logarithm of D + 1/2; float64.
    """
    scale = 2 * torch.arange(N, dtype=torch.float64) + 1
    return {
        "lower": -torch.ones(N - 1, dtype=torch.float64),
        "middle": torch.ones(N, dtype=torch.float64),
        "upper": torch.zeros(N - 1, dtype=torch.float64),
        "log_P": scale.log() / 2,
        "log_Q": scale.log() / 2,
        "log_D": -(2 * scale).log(),
    }


def structured(values: Mapping[str, Tensor]) -> Tensor:
    """P (D + T^-1) Q, all of whose eigenvalues have positive real parts.

    Args:
        values: as from `legs_structure`.
    Returns:
        (N, N).
    """
    S = torch.diag(1 - values["middle"]) - torch.diag(values["lower"], -1) - torch.diag(values["upper"], 1)
    T = torch.eye(len(S), dtype=S.dtype, device=S.device) - _contraction(S)
    middle = (
        torch.diag(values["log_D"].exp() - 0.5) + torch.linalg.inv_ex(T).inverse
    )  # waits for no GPU; one matrix, not a batch
    return values["log_P"].exp().unsqueeze(-1) * middle * values["log_Q"].exp()


def _contraction(S: Tensor) -> Tensor:
    """S itself while no row and no column of |S| sums to more than 1; beyond, scaled to a matrix of norm at most 1.

    An entry s alone in its row and column becomes 1 / s beyond 1, so that its gradient never vanishes: LegS lies on the
    bound, and entries held there would not train.
    """
    size = S.abs()
    return S / (size.sum(-1, keepdim=True).clamp(min=1) * size.sum(-2, keepdim=True).clamp(min=1))
