"""Mel-frequency cepstral coefficients, as torchaudio's MFCC transform computes them with log mels and its defaults.

The defaults that matter: a periodic Hann window as long as the FFT, frames centred on their sample with the signal
reflected at both ends, power spectrum, triangular filters of height one that are equally spaced on the HTK mel scale
from 0 to half the sample rate, log(mel + 1e-6), orthonormal DCT-II.
"""

from functools import cache

import torch
from torch import Tensor

N_FFT = 200
HOP = 100
N_MELS = 64
N_MFCC = 20
LOG_OFFSET = 1e-6


def mfcc(waveform: Tensor, rate: int) -> Tensor:
    """The first 20 coefficients of every frame.

    Args:
        waveform: (B, L) float32 in [-1, 1], more than 100 samples.
        rate: samples per second.
    Returns:
        (B, 1 + L // 100, 20) float32.
    """
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(waveform, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    mels = spectrum.abs().square().transpose(1, 2) @ mel_filters(rate)
    return torch.log(mels + LOG_OFFSET) @ _dct()


@cache
def mel_filters(rate: int) -> Tensor:
    """Weight of every frequency bin in every mel band, (101, 64) float32.

    Args:
        rate: samples per second.
    """
    bins = torch.linspace(0, rate // 2, N_FFT // 2 + 1, dtype=torch.float64)
    highest = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700, dtype=torch.float64))
    edges = 700 * (10 ** (torch.linspace(0, 1, N_MELS + 2, dtype=torch.float64) * highest / 2595) - 1)
    widths = edges.diff()
    rising = (bins[:, None] - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins[:, None]) / widths[1:]
    return torch.minimum(rising, falling).clamp(min=0).float()


@cache
def _dct() -> Tensor:
    """The orthonormal DCT-II as a matrix, (64, 20) float32."""
    n = torch.arange(N_MELS, dtype=torch.float64)[:, None] + 0.5
    k = torch.arange(N_MFCC, dtype=torch.float64)
    basis = torch.cos(torch.pi / N_MELS * n * k) * (2 / N_MELS) ** 0.5
    basis[:, 0] /= 2**0.5
    return basis.float()
