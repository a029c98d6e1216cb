"""HiPPO systems x' = A x + B u and their normal plus low-rank forms, in float64.

A measure names the weight over the past that the state's approximation uses. Sources: HiPPO (arXiv 2008.07669) for the
measures; S4 (arXiv 2111.00396, Theorem 1 and appendix C.1) for the normal plus low-rank form; S5 (arXiv 2208.04933,
section 4.3) for the block-diagonal initialisation. Scales are those of the S4 code.
"""

import math

import torch
from torch import Tensor

# Imaginary parts of B in the eigenbasis are held within this bound, as in the S4 code.
_B_LIMIT = 2.0


def legs(N: int) -> tuple[Tensor, Tensor]:
    """The HiPPO-LegS system: Legendre polynomials, all of the past equally (S4, equation 2).

    Returns:
        A, (N, N) float64, and B, (N,) float64.
    """
    scale = torch.sqrt(2 * _arange(N) + 1)
    A = -torch.tril(torch.outer(scale, scale), diagonal=-1)
    A -= torch.diag(_arange(N) + 1)
    return A, scale


def legt(N: int) -> tuple[Tensor, Tensor]:
    """The HiPPO-LegT system: Legendre polynomials on a sliding window, both A and B halved (HiPPO, appendix D.1).

    Returns:
        A, (N, N) float64, and B, (N,) float64.
    """
    scale = torch.sqrt(2 * _arange(N) + 1)
    sign = 1 - 2 * (_arange(N) % 2)
    full = torch.outer(scale, scale)
    A = -torch.tril(full) - torch.triu(full * torch.outer(sign, sign), diagonal=1)
    return A / 2, scale / 2


def fourier(N: int) -> tuple[Tensor, Tensor]:
    """The truncated Fourier system (FouT): cosines and sines on a sliding window, in turn (S4 code; N even).

    Returns:
        A, (N, N) float64, and B, (N,) float64.
    Raises:
        ValueError: N is odd.
    """
    if N % 2:
        raise ValueError(f"{N} states of fourier: must be even, a cosine and a sine each")
    B = math.sqrt(2) * (1 - _arange(N) % 2)
    B[0] = 1
    frequencies = torch.zeros(N - 1, dtype=torch.float64)
    frequencies[::2] = math.pi * _arange(N // 2)
    rotation = torch.diag(frequencies, -1) - torch.diag(frequencies, 1)
    return rotation - torch.outer(B, B), B


def lagt(N: int) -> tuple[Tensor, Tensor]:
    """The HiPPO-LagT system: Laguerre polynomials, a past that fades exponentially (HiPPO, appendix D.2).

    Returns:
        A, (N, N) float64, and B, (N,) float64.
    """
    A = torch.eye(N, dtype=torch.float64) / 2 - torch.tril(torch.ones(N, N, dtype=torch.float64))
    return A, torch.ones(N, dtype=torch.float64)


MEASURES = {"legs": legs, "legt": legt, "fourier": fourier, "lagt": lagt}


def low_rank(measure: str, N: int) -> Tensor:
    """The vectors P_r for which A + sum_r P_r P_r^T is normal (S4, appendix C.1).

    Returns:
        (R, N) float64 with the least rank R: 2 for "legt", 1 for the others.
    """
    if measure == "legs":
        return torch.sqrt(_arange(N) + 0.5).unsqueeze(0)
    if measure == "legt":
        even = 1 - _arange(N) % 2
        return torch.sqrt(_arange(N) + 0.5) * torch.stack([even, 1 - even])
    if measure == "fourier":
        return fourier(N)[1].unsqueeze(0)
    return torch.full((1, N), math.sqrt(0.5), dtype=torch.float64)


def hippo_n(N: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the normal part of LegS, A + P P^T = V diag(Lambda) V^*.

    Returns:
        Lambda, (N,) complex128, by ascending imaginary part (the first half holds the negative ones);
        V, (N, N) complex128, unitary, eigenvectors in columns.
    """
    return _normal_spectrum(legs(N)[0], low_rank("legs", N))


def nplr(measure: str, N: int, rank: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The normal plus low-rank form of a HiPPO system, A = V (Lambda - P P^*) V^*, one of each conjugate pair.

    Args:
        measure: "legs", "legt", "fourier" or "lagt".
        N: state size, even.
        rank: R, vectors in P; those beyond what the measure needs are zero.
    Returns:
        Lambda, (N/2,), the half with negative imaginary parts (for "fourier" also one of the two zeros, last);
        P, (R, N/2); B, (N/2,), its imaginary parts held within +-2; V, (N, N/2). All complex128.
    Raises:
        ValueError: an unknown measure, an odd N or a rank that is too small.
    """
    _check(measure, N)
    A, B = MEASURES[measure](N)
    P = low_rank(measure, N)
    if rank < len(P):
        raise ValueError(f"rank={rank}: measure {measure!r} needs rank {len(P)} or more")
    Lambda, V = (half[..., : N // 2] for half in _normal_spectrum(A, P))
    if measure == "fourier":
        V = _split_the_zero_pair(V)
    V = V * _phases(V)
    P = torch.cat([P, P.new_zeros(rank - len(P), N)]).to(V.dtype)
    B = V.mH @ B.to(V.dtype)
    return Lambda, P @ V.conj(), torch.complex(B.real, B.imag.clamp(-_B_LIMIT, _B_LIMIT)), V


def _check(measure: str, N: int) -> None:
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}: must be one of {', '.join(MEASURES)}")
    if N < 2 or N % 2:
        raise ValueError(f"N={N}: the state size must be even and positive; states are kept as conjugate pairs")


def _arange(N: int) -> Tensor:
    return torch.arange(N, dtype=torch.float64)


def _normal_spectrum(A: Tensor, P: Tensor) -> tuple[Tensor, Tensor]:
    """Spectrum of A + P^T P, a multiple of I plus a skew-symmetric matrix, by a Hermitian solver; ascending."""
    normal = A + P.T @ P
    real = normal.diagonal().mean()
    imaginary, V = torch.linalg.eigh(-1j * (normal - real * torch.eye(len(A), dtype=A.dtype)))
    return torch.complex(real.expand_as(imaginary), imaginary), V


def _split_the_zero_pair(V: Tensor) -> Tensor:
    """Last column (1, i) / sqrt 2 on the plane that the Fourier system does not rotate: conjugation gives its other."""
    still = torch.zeros(len(V), dtype=V.dtype)
    still[:2] = torch.tensor([1, 1j], dtype=V.dtype) / math.sqrt(2)
    return torch.cat([V[:, :-1], still.unsqueeze(1)], dim=1)


def _phases(V: Tensor) -> Tensor:
    """Unit factors that make the first row real where it is not zero, so that the bound on B acts alike everywhere."""
    size = V[0].abs()
    return torch.where(size > 1e-9, V[0].conj() / size, 1)
