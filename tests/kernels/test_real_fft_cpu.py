"""Real inverse transforms of many spectra against torch's, outputs and gradients."""

import pytest
import torch

from longrange.kernels.fft_cpu import LONGEST
from longrange.kernels.real_fft_cpu import irfft, irfft_backward


def spectra(n, *shape, dtype=torch.complex128):
    """Of random sequences: the numbers that stand for no pair of frequencies are real."""
    return torch.fft.rfft(torch.randn(*shape, n, generator=torch.Generator().manual_seed(n), dtype=dtype.to_real()))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 9, 100, 128, 1024, LONGEST, 2 * LONGEST])
@pytest.mark.parametrize("shape", [(), (1,), (3, 7), (2, 16)])
def test_steps_and_gradients_are_those_of_torch(n, shape):
    spectrum = spectra(n, *shape).requires_grad_()
    steps = torch.fft.irfft(spectrum, n)
    torch.testing.assert_close(irfft(spectrum.detach(), n), steps.detach(), rtol=0, atol=1e-12)
    grad = torch.randn_like(steps)
    (exact,) = torch.autograd.grad(steps, spectrum, grad)
    torch.testing.assert_close(irfft_backward(grad), exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [64, 1024])
def test_float32(n):
    spectrum = spectra(n, 20, dtype=torch.complex64)
    torch.testing.assert_close(irfft(spectrum, n), torch.fft.irfft(spectrum, n), rtol=0, atol=1e-5)


def test_strided_tensors_are_read_as_what_they_mean():
    spectrum, grad = spectra(64, 4, 6).transpose(0, 1), torch.randn(64, 6).T.double()
    torch.testing.assert_close(irfft(spectrum, 64), irfft(spectrum.contiguous(), 64), rtol=0, atol=0)
    torch.testing.assert_close(irfft_backward(grad), irfft_backward(grad.contiguous()), rtol=0, atol=0)
