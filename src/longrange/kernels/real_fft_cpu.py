"""Real inverse transforms of many spectra on the CPU in Numba, a slice of them at a time in the cache."""

import numba
import torch
from torch import Tensor

from longrange.kernels.fft_cpu import forward, inverse, period, real_tables, tables
from longrange.kernels.numba_tools import aligned, arrays, internal, parallel
from longrange.kernels.spectra_cpu import from_spectrum, from_spectrum_backward
from longrange.kernels.transpose_cpu import steps_of, to_features, to_steps, whole_slices
from longrange.kernels.vectors import LANES


def irfft(spectrum: Tensor, n: int) -> Tensor:
    """As `torch.fft.irfft`, whose work it is for lengths that are no `fft_cpu.period`.

    Args:
        spectrum: (..., n // 2 + 1) complex, the first number real, for even n the last one too.
        n: steps.
    Returns:
        (..., n).
    """
    if period(n) != n:
        return torch.fft.irfft(spectrum, n)
    rows = whole_slices(torch.view_as_real(spectrum.resolve_conj()).reshape(-1, n + 2), -2)
    out = rows.new_empty(len(rows), n)
    _inverse(*arrays(rows, out, *_tables(n, out.dtype)))
    return out[: spectrum.shape[:-1].numel()].view(*spectrum.shape[:-1], n)


def irfft_backward(grad: Tensor) -> Tensor:
    """Gradient of `irfft` in the spectrum, from that in the steps, (..., n)."""
    n = grad.shape[-1]
    if period(n) != n:
        out = torch.fft.rfft(grad, norm="forward")
        out[..., 1 : (n + 1) // 2] *= 2  # each stands for the negative frequency too
        return out
    rows = whole_slices(grad.reshape(-1, n), -2)
    out = rows.new_empty(len(rows), n + 2)
    _inverse_backward(*arrays(rows, out, *_tables(n, out.dtype)))
    return torch.view_as_complex(out[: grad.shape[:-1].numel()].view(*grad.shape[:-1], n // 2 + 1, 2))


def _tables(n: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tables(dtype)[0], *real_tables(n // 2, dtype)


@parallel
def _inverse(spectra, out, factors, places, twiddles):
    for task in numba.prange(len(out) // LANES):
        _inverse_slice(spectra[task * LANES :][:LANES], out[task * LANES :][:LANES], factors, places, twiddles)


@internal
def _inverse_slice(spectra, out, factors, places, twiddles):
    n, one = out.shape[1], out.dtype.type(1)
    share = out.dtype.type(1 / n)
    z, memory = aligned(out, n * LANES), aligned(out, (n + 2) * LANES)
    numbers = steps_of(memory)
    to_steps(spectra, numbers, share)
    from_spectrum(memory, z, places, twiddles)
    inverse(z, numbers[:n], factors)
    to_features(numbers[:n], out, one)


@parallel
def _inverse_backward(grad, out, factors, places, twiddles):
    for task in numba.prange(len(out) // LANES):
        _inverse_slice_backward(grad[task * LANES :][:LANES], out[task * LANES :][:LANES], factors, places, twiddles)


@internal
def _inverse_slice_backward(grad, out, factors, places, twiddles):
    n, one = grad.shape[1], grad.dtype.type(1)
    share = grad.dtype.type(1 / n)
    z, memory = aligned(out, n * LANES), aligned(out, (n + 2) * LANES)
    numbers = steps_of(memory)
    to_steps(grad, numbers[:n], share)
    forward(numbers[:n], z, factors)
    from_spectrum_backward(z, memory, places, twiddles)
    to_features(numbers, out, one)
