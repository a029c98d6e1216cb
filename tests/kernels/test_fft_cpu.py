"""Transforms of slices of features against NumPy's."""

import numba
import numpy as np
import pytest
import torch

from longrange.kernels.fft_cpu import LONGEST, forward, inverse, tables
from longrange.kernels.vectors import LANES


@numba.njit
def there(steps, z, factors):
    forward(steps[:, :LANES], z, factors)


@numba.njit
def back(z, steps, factors):
    inverse(z, steps[:, :LANES], factors)


def bit_reversed(N):
    """The frequency at every place."""
    order = [0]
    while len(order) < N:
        order = [2 * k for k in order] + [2 * k + 1 for k in order]
    return order


@pytest.mark.parametrize("N", [2**k for k in range(1, LONGEST.bit_length() - 1)])
def test_there_and_back(N):
    draw, factors = np.random.default_rng(0), tables(torch.float64)[0].numpy()
    for L in {1, N, 2 * N - 1, 2 * N}:
        steps, z = draw.standard_normal((L, LANES + 3)), np.full(2 * N * LANES, np.nan)
        there(steps, z, factors)
        padded = np.zeros((2 * N, LANES))
        padded[:L] = steps[:, :LANES]
        numbers = z.reshape(N, 2, LANES)
        exact = np.fft.fft(padded[::2] + 1j * padded[1::2], axis=0)[bit_reversed(N)]
        np.testing.assert_allclose(numbers[:, 0] + 1j * numbers[:, 1], exact, rtol=0, atol=1e-12 * N)
        returned = np.full_like(steps, 7)
        back(z, returned, factors)
        np.testing.assert_allclose(returned[:, :LANES] / N, padded[:L], rtol=0, atol=1e-13 * N)
        assert (returned[:, LANES:] == 7).all()


def test_the_turn_of_a_place_is_that_of_its_frequency():
    turns = tables(torch.float64)[1].view(-1, 2).numpy()[:64]
    exact = np.exp(-2j * np.pi * np.array(bit_reversed(64)) / 64)
    np.testing.assert_allclose(turns[:, 0] + 1j * turns[:, 1], exact, rtol=0, atol=1e-15)
