"""The coefficients against torchaudio's, and what its defaults mean."""

import numpy as np
import torch
from paths import GOLDEN

from longrange.data.mfcc import HOP, N_FFT, mel_filters, mfcc


def test_coefficients_are_those_of_torchaudio():
    golden = np.load(GOLDEN / "mfcc.npz")
    ours = mfcc(torch.from_numpy(golden["waveform"]), 16_000).numpy()
    assert ours.shape == (4, 161, 20)
    np.testing.assert_allclose(ours.transpose(0, 2, 1), golden["mfcc"], rtol=0, atol=1e-3)


def test_silence_has_one_coefficient():
    expected = torch.zeros(20)
    expected[0] = np.log(1e-6) * 64**0.5
    torch.testing.assert_close(mfcc(torch.zeros(1, 1000), 16_000), expected.expand(1, 11, 20), rtol=0, atol=1e-4)


def test_a_tone_is_in_the_band_that_holds_it():
    frequency = 3000
    tone = torch.sin(2 * torch.pi * frequency * torch.arange(1600) / 16_000)
    spectrum = torch.stft(tone, N_FFT, HOP, window=torch.hann_window(N_FFT), return_complex=True).abs().square()
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66) / 2595) - 1)
    loudest = int((spectrum[:, 8] @ mel_filters(16_000)).argmax())
    assert edges[loudest] < frequency < edges[loudest + 2]


def test_filters_are_triangles_of_height_one_at_most():
    filters = mel_filters(16_000)
    assert filters.shape == (101, 64)
    assert filters.min() == 0
    assert 0.9 < filters.max() <= 1
    # Neighbouring triangles add up to one everywhere between the first and the last peak.
    torch.testing.assert_close(filters[2:95].sum(1), torch.ones(93), rtol=0, atol=1e-5)
