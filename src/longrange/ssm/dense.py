"""Discretisation of dense systems x' = A x + B u with a time step per feature, and the inverse it needs.

Sources: LSSL (arXiv 2110.13985), section 2 and appendix C, for the generalised bilinear transform.
"""

from typing import Any

import torch
from torch import Tensor

# Matrices up to this size are inverted as a whole, larger ones by quarters: LAPACK's inverse of a batch of large ones
# takes three times as long as the products of the quarters, and that of torch 2.13 with MKL returns wrong values for
# N above 128 once torch.set_num_threads has been called.
_WHOLE = 16


def gbt(A: Tensor, B: Tensor, dt: Tensor, alpha: float = 0.5) -> tuple[Tensor, Tensor]:
    """Generalised bilinear transform: (1 - alpha dt A) x_k = (1 + (1 - alpha) dt A) x_{k-1} + dt B u_k.

    Args:
        A: (N, N) or (H, N, N), stable: see `inverse`.
        B: (N,) or (H, N).
        dt: time steps, (H,).
        alpha: 0 for Euler's rule, 1/2 for the bilinear rule, 1 for the backward Euler rule.
    Returns:
        A_bar, (H, N, N), and B_bar, (H, N).
    """
    step = dt.view(-1, 1, 1) * A
    B_step = (dt.unsqueeze(-1) * B).unsqueeze(-1)
    identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    if alpha == 0:
        return identity + step, B_step.squeeze(-1)
    implicit = inverse(identity - alpha * step)
    # The explicit half is (1 - (1 - alpha) (1 - alpha step)) / alpha: no further product is needed.
    return (implicit - (1 - alpha) * identity) / alpha, (implicit @ B_step).squeeze(-1)


def gbt_eigenvalues(Lambda: Tensor, dt: Tensor, alpha: float = 0.5) -> Tensor:
    """What `gbt` makes of the eigenvalues of A: those of A_bar.

    Args:
        Lambda: eigenvalues of A, (...) complex.
        dt: time steps, of a shape that broadcasts.
        alpha: as for `gbt`.
    Returns:
        (1 + (1 - alpha) dt Lambda) / (1 - alpha dt Lambda), complex.
    """
    return (1 + (1 - alpha) * dt * Lambda) / (1 - alpha * dt * Lambda)


def inverse(A: Tensor) -> Tensor:
    """Inverses of a batch of matrices.

    Elimination is by blocks and without exchange of rows. That is safe where x^T S A x > 0 for a positive diagonal S
    and all x, which holds for 1 - c A with c > 0 and A any HiPPO matrix.

    Args:
        A: (H, N, N).
    Returns:
        (H, N, N).
    """
    return _Inverse.apply(A)


class _Inverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, A: Tensor) -> Tensor:
        X = _inverse_by_quarters(A)
        rest = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device) - A @ X
        X = X + X @ rest  # a step of Newton's method: it removes most of the rounding error
        ctx.save_for_backward(X)
        return X

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (X,) = ctx.saved_tensors
        return -X.mT @ grad @ X.mT


def _inverse_by_quarters(A: Tensor) -> Tensor:
    """As `inverse`, from the inverse of one quarter and that of the rest without it, its Schur complement."""
    if A.shape[-1] <= _WHOLE:
        return torch.linalg.inv_ex(A).inverse  # `inv` would wait for a GPU to say whether it could
    n = A.shape[-1] // 2
    (a, b), (c, d) = (rows.tensor_split([n], dim=-1) for rows in A.tensor_split([n], dim=-2))
    a = _inverse_by_quarters(a)
    left, right = c @ a, a @ b
    rest = _inverse_by_quarters(d - left @ b)
    below = -rest @ left
    return torch.cat([torch.cat([a - right @ below, -right @ rest], -1), torch.cat([below, rest], -1)], -2)
