"""HiPPO-LegS and the spectrum of its normal part (HiPPO-N), in float64.

Sources: HiPPO (arXiv 2008.07669) for LegS; S4 (arXiv 2111.00396, Theorem 1) for the normal plus low-rank form;
S5 (arXiv 2208.04933, section 4.3) for the block-diagonal initialisation.
"""

import torch
from torch import Tensor


def legs(N: int) -> tuple[Tensor, Tensor]:
    """The HiPPO-LegS system x' = A x + B u (S4, equation 2).

    Returns:
        A, (N, N) float64, and B, (N,) float64.
    """
    scale = torch.sqrt(2 * torch.arange(N, dtype=torch.float64) + 1)
    A = -torch.tril(torch.outer(scale, scale), diagonal=-1)
    A -= torch.diag(torch.arange(1, N + 1, dtype=torch.float64))
    return A, scale


def legs_low_rank(N: int) -> Tensor:
    """The vector P for which A + P P^T is normal, with -1/2 on the diagonal (S4, appendix C.1).

    Returns:
        (N,) float64.
    """
    return torch.sqrt(torch.arange(N, dtype=torch.float64) + 0.5)


def hippo_n(N: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the normal part of LegS, A + P P^T = V diag(Lambda) V^*.

    The normal part is -1/2 I plus a skew-symmetric matrix, so its spectrum comes from a Hermitian solver.

    Returns:
        Lambda, (N,) complex128, by ascending imaginary part (the first half holds the negative ones);
        V, (N, N) complex128, unitary, eigenvectors in columns.
    """
    A, _ = legs(N)
    P = legs_low_rank(N)
    skew = A + torch.outer(P, P) + 0.5 * torch.eye(N, dtype=torch.float64)
    imaginary, V = torch.linalg.eigh(-1j * skew)
    return torch.complex(torch.full_like(imaginary, -0.5), imaginary), V
