"""The kernel of a diagonal plus low-rank system from its generating function at the roots of unity.

With w_k = exp(-2 pi i k / L) the kernel K_l = C A_bar^l B_bar, l < L, has the transform

    sum_l K_l w_k^l = 2 / (1 + w_k) C_tilde (z_k - dt A)^-1 dt B,    z_k = 2 (1 - w_k) / (1 + w_k) = 2 i tan(pi k / L)

for C_tilde = C (I - A_bar^L), and z - dt A is diagonal but for the low-rank part, so that the Woodbury identity leaves
sums over poles dt Lambda: Cauchy products. Source: S4 (arXiv 2111.00396), section 3 and appendix C.3.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.fft import irfft


@lru_cache(maxsize=64)  # one entry a length: made on the CPU in float64, whose copy in each step would wait for a GPU
def nodes(L: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Points y_k of the imaginary axis, z_k = i y_k, at which the Cauchy sums are taken for a kernel of length L.

    Returns:
        (ceil(L/2),) of `dtype`: 2 tan(pi k / L) for k below L/2, ascending from 0. The Nyquist node k = L/2 of an even
        L lies at infinity; `kernel_from_transform` knows its value.
    """
    with torch.inference_mode(False):  # inference tensors could not be used in a training later
        angles = math.pi / L * torch.arange((L + 1) // 2, dtype=torch.float64)
        return (2 * torch.tan(angles)).to(device=device, dtype=dtype)


def cauchy_weights(B: Tensor, C_tilde: Tensor, P: Tensor, dt: Tensor) -> Tensor:
    """Numerators of all the Cauchy sums that a kernel needs: dt times each row (C_tilde, P^*) times each column (B, P).

    Args:
        B: (H, N/2) complex.
        C_tilde: rows of M channels, (M, H, N/2) complex.
        P: (R, H, N/2) complex.
        dt: time steps, (H,) real.
    Returns:
        (M + R, 1 + R, H, N/2) complex.
    """
    rows = torch.cat([C_tilde, P.conj()])
    columns = torch.cat([B.unsqueeze(0), P])
    return (dt.unsqueeze(-1) * rows).unsqueeze(1) * columns


def transform_from_sums(sums: Tensor, y: Tensor) -> Tensor:
    """The transform of the kernel from the Cauchy sums with poles dt Lambda at the nodes.

    Args:
        sums: of `cauchy_weights` and the conjugate pairs of the poles at the nodes, (M + R, 1 + R, H, K) complex.
        y: of `nodes`, (K,) real.
    Returns:
        (M, H, K) complex.
    """
    M = len(sums) - (sums.shape[1] - 1)
    factor = torch.complex(torch.ones_like(y), y / 2)  # 2 / (1 + w)
    return factor * _without_low_rank(sums, M)


def kernel_from_transform(transform: Tensor, weights: Tensor, L: int) -> Tensor:
    """The kernel of length L from its transform at the nodes.

    Args:
        transform: (M, H, ceil(L/2)) complex.
        weights: of `cauchy_weights`, (M + R, 1 + R, H, N/2) complex: they give the value at the Nyquist node.
        L: length of the kernel.
    Returns:
        (M, H, L) real.
    """
    if L % 2 == 0:
        transform = torch.cat([transform, _nyquist(weights[: len(transform), 0])], dim=-1)
    return irfft(transform, n=L)


def _without_low_rank(sums: Tensor, M: int) -> Tensor:
    """r(C, B) - r(C, P) (I + r(P^*, P))^-1 r(P^*, B), (M, H, K), by eliminating one column of P after the other.

    No pivots are sought: on the imaginary axis I + r(P^*, P) has a positive definite Hermitian part.
    """
    rows = [list(row.unbind(0)) for row in sums.unbind(0)]
    for _ in range(sums.shape[1] - 1):
        last = rows.pop()
        inverse = 1 / (1 + last.pop())
        ratios = [entry * inverse for entry in last]
        rows = [[entry - row[-1] * ratio for entry, ratio in zip(row[:-1], ratios, strict=True)] for row in rows]
    return torch.stack([row[0] for row in rows])


def _nyquist(weights: Tensor) -> Tensor:
    """The transform at z = infinity, Re sum dt C_tilde B: the low-rank part vanishes there. (M, H, 1) complex."""
    value = weights.real.sum(-1, keepdim=True)
    return torch.complex(value, torch.zeros_like(value))
