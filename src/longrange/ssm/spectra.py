"""Initial spectra of diagonal state-space models, in complex128.

Source: S4D (arXiv 2206.11893), section 4; "legs" is also the initial spectrum of DSS (arXiv 2203.14343).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from longrange.ssm.hippo import nplr


def spectrum(name: str, N: int) -> tuple[Tensor, Tensor]:
    """Initial eigenvalues and input weights of a diagonal system, one of each conjugate pair.

    Args:
        name: "lin" (equidistant frequencies), "inv" (inversely spaced), "legs" (normal part of HiPPO-LegS), "real"
            (-1, -2, ..., no oscillation) or "random" (log-normal frequencies, drawn anew at each call).
        N: state size, even.
    Returns:
        Lambda and B, (N/2,) complex128 each; imaginary parts of Lambda not positive, real parts negative.
    Raises:
        ValueError: an unknown name or an odd N.
    """
    if name not in SPECTRA:
        raise ValueError(f"init={name!r}: must be one of {', '.join(SPECTRA)}")
    if N < 2 or N % 2:
        raise ValueError(f"N={N}: the state size must be even and positive; states are kept as conjugate pairs")
    return SPECTRA[name](N)


def _lin(N: int) -> tuple[Tensor, Tensor]:
    return _damped(math.pi * _arange(N))


def _inv(N: int) -> tuple[Tensor, Tensor]:
    return _damped(N / math.pi * (N / (2 * _arange(N) + 1) - 1))


def _legs(N: int) -> tuple[Tensor, Tensor]:
    Lambda, _, B, _ = nplr("legs", N)
    return Lambda, B


def _real(N: int) -> tuple[Tensor, Tensor]:
    decay = 1 + _arange(N)
    return torch.complex(-decay, torch.zeros_like(decay)), torch.ones(N // 2, dtype=torch.complex128)


def _random(N: int) -> tuple[Tensor, Tensor]:
    return _damped(torch.randn(N // 2, dtype=torch.float64).exp())


SPECTRA: dict[str, Callable[[int], tuple[Tensor, Tensor]]] = {
    "lin": _lin,
    "inv": _inv,
    "legs": _legs,
    "real": _real,
    "random": _random,
}


def _damped(frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Lambda = -1/2 - i frequencies, and B of ones."""
    Lambda = torch.complex(torch.full_like(frequencies, -0.5), -frequencies)
    return Lambda, torch.ones_like(Lambda)


def _arange(N: int) -> Tensor:
    return torch.arange(N // 2, dtype=torch.float64)
