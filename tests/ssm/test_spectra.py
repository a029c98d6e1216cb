"""Initial spectra of diagonal systems against the authors' and the papers' formulas."""

import math

import numpy as np
import pytest
import torch

from longrange.ssm import SPECTRA, spectrum
from tests.paths import GOLDEN


@pytest.mark.parametrize(("i", "name"), [(0, "lin"), (1, "inv"), (2, "legs")])
def test_equals_the_authors(i, name):
    golden = np.load(GOLDEN / f"s4d_{i}.npz")
    Lambda, B = spectrum(name, 16)
    np.testing.assert_allclose(Lambda.numpy(), golden["Lambda"][0], rtol=1e-5, atol=2e-4)  # a zero is stored as 1e-4
    # An eigenvector's sign is free, so that of B is.
    np.testing.assert_allclose(B.numpy() ** 2, golden["B"][0, 0] ** 2, rtol=1e-4, atol=1e-4)


def test_real_counts_up_without_oscillation():
    Lambda, B = spectrum("real", 6)
    assert Lambda.tolist() == [-1, -2, -3]
    assert B.tolist() == [1, 1, 1]


def test_random_frequencies_are_log_normal_and_drawn_anew():
    torch.manual_seed(0)
    Lambda, _ = spectrum("random", 4000)
    logs = (-Lambda.imag).log()
    assert abs(logs.mean()) < 0.1
    assert abs(logs.std() - 1) < 0.05
    assert not torch.equal(Lambda, spectrum("random", 4000)[0])


@pytest.mark.parametrize("name", SPECTRA)
def test_halves_are_stable_and_of_negative_frequency(name):
    Lambda, B = spectrum(name, 32)
    assert Lambda.dtype == B.dtype == torch.complex128
    assert Lambda.shape == B.shape == (16,)
    assert (Lambda.real <= -0.5 + 1e-12).all()
    assert (Lambda.imag <= 0).all()


def test_lin_is_equidistant_and_inv_starts_highest():
    torch.testing.assert_close(spectrum("lin", 8)[0].imag.diff(), torch.full((3,), -math.pi, dtype=torch.float64))
    assert spectrum("inv", 8)[0].imag.argmin() == 0


@pytest.mark.parametrize(("name", "N", "message"), [("fast", 8, "lin, inv, legs, real, random"), ("lin", 3, "N=3")])
def test_what_it_refuses(name, N, message):
    with pytest.raises(ValueError, match=message):
        spectrum(name, N)
