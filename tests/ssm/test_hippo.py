"""HiPPO matrices against the authors' numbers and against their own definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.ssm import MEASURES, hippo_n, legs, low_rank, nplr
from tests.paths import GOLDEN


@pytest.mark.parametrize("measure", ["legs", "legt", "fourier"])
def test_matrices_equal_the_authors(measure):
    golden = np.load(GOLDEN / f"hippo_{measure}.npz")
    A, B = MEASURES[measure](8)
    np.testing.assert_allclose(A.numpy(), golden["A"], rtol=1e-6)
    np.testing.assert_allclose(B.numpy(), golden["B"][:, 0], rtol=1e-6)


def test_lagt_approximates_by_laguerre_functions():
    """The state's response to a pulse is e^(-t/2) L_n(t) with Laguerre polynomials L_n."""
    A, B = MEASURES["lagt"](3)
    t = 0.7
    laguerre = torch.tensor([1, 1 - t, 1 - 2 * t + t * t / 2], dtype=torch.float64)
    torch.testing.assert_close(torch.linalg.matrix_exp(A * t) @ B, np.exp(-t / 2) * laguerre)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("N", [2, 6, 32])
def test_the_low_rank_part_leaves_a_normal_matrix(measure, N):
    A, _ = MEASURES[measure](N)
    P = low_rank(measure, N)
    normal = A + P.T @ P
    skew = normal - normal.diagonal().mean() * torch.eye(N)
    torch.testing.assert_close(skew, -skew.T, rtol=0, atol=1e-10)


@pytest.mark.parametrize("N", [2, 8, 16])
def test_spectrum_equals_the_authors(N):
    golden = np.sort_complex(np.load(GOLDEN / f"hippo_n_{N}.npz")["Lambda"])
    ours = hippo_n(N)[0].numpy()
    np.testing.assert_allclose(np.sort(ours.imag), np.sort(golden.imag), atol=1e-4)
    np.testing.assert_allclose(ours.real, golden.real, atol=1e-4)


@pytest.mark.parametrize("N", [1, 2, 5, 64])
def test_eigenvectors_rebuild_the_normal_part(N):
    Lambda, V = hippo_n(N)
    A, _ = legs(N)
    P = low_rank("legs", N)
    normal = A + P.T @ P
    torch.testing.assert_close((V * Lambda) @ V.mH, normal.to(V.dtype), rtol=0, atol=1e-10)
    torch.testing.assert_close(V.mH @ V, torch.eye(N, dtype=V.dtype), rtol=0, atol=1e-12)


def test_first_half_of_the_spectrum_holds_the_negative_frequencies():
    Lambda, _ = hippo_n(16)
    assert (Lambda[:8].imag < 0).all()
    torch.testing.assert_close(Lambda[:8], Lambda[8:].flip(0).conj(), rtol=0, atol=1e-10)


def test_blocks_of_two_have_the_closed_form():
    Lambda, _ = hippo_n(2)
    assert Lambda[0].item() == pytest.approx(-0.5 - 0.5j * 3**0.5, abs=1e-12)


@pytest.mark.parametrize("measure", ["legs", "fourier"])
def test_nplr_equals_the_authors_up_to_phases(measure):
    """Eigenvectors have a free phase each; what is free of it is compared: V x V^* and the bounded B's products."""
    golden = {name: torch.from_numpy(value) for name, value in np.load(GOLDEN / f"nplr_{measure}.npz").items()}
    Lambda, P, B, V = (value.to(torch.complex64) for value in nplr(measure, 8))
    torch.testing.assert_close(Lambda, golden["Lambda"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        (V * Lambda) @ V.mH, (golden["V"] * golden["Lambda"]) @ golden["V"].mH, rtol=0, atol=1e-4
    )
    torch.testing.assert_close(V @ P.T, golden["V"] @ golden["P"].T, rtol=0, atol=1e-5)
    torch.testing.assert_close(V @ B, golden["V"] @ golden["B"], rtol=0, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(measure=st.sampled_from(list(MEASURES)), half=st.integers(1, 40), rank=st.integers(2, 3))
def test_nplr_rebuilds_the_matrix(measure, half, rank):
    Lambda, P, _, V = nplr(measure, 2 * half, rank)
    assert P.shape == (rank, half)
    middle = torch.diag(torch.cat([Lambda, Lambda.conj()]))
    both = torch.cat([P, P.conj()], dim=1)
    W = torch.cat([V, V.conj()], dim=1)
    A = W @ (middle - both.T @ both.conj()) @ W.mH
    torch.testing.assert_close(A, MEASURES[measure](2 * half)[0].to(A.dtype), rtol=0, atol=1e-9)
    torch.testing.assert_close(W.mH @ W, torch.eye(2 * half, dtype=A.dtype), rtol=0, atol=1e-10)


@pytest.mark.parametrize("measure", MEASURES)
def test_nplr_keeps_negative_frequencies_and_bounds_B(measure):
    Lambda, _, B, V = nplr(measure, 64, rank=2)
    kept = Lambda[:-1] if measure == "fourier" else Lambda
    assert (kept.imag < -1e-3).all()
    assert Lambda[-1].imag <= 1e-12
    full = V.mH @ MEASURES[measure](64)[1].to(V.dtype)
    torch.testing.assert_close(B.imag, full.imag.clamp(-2, 2))
    torch.testing.assert_close(B.real, full.real)


@pytest.mark.parametrize("measure", ["legs", "legt", "lagt"])
def test_nplr_fixes_the_phases_that_the_bound_on_B_depends_on(measure):
    first_row = nplr(measure, 16, rank=2)[3][0]
    assert (first_row.real > 0).all()
    assert first_row.imag.abs().max() < 1e-15


def test_a_rank_beyond_the_measures_own_adds_zeros():
    P = nplr("legs", 8, rank=3)[1]
    assert P[0].abs().min() > 0.1
    assert (P[1:] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("legendre", 8), "measure='legendre': must be one of legs, legt, fourier, lagt"),
        (("legs", 7), "N=7"),
        (("legs", 0), "N=0"),
        (("legt", 8, 1), "rank=1: measure 'legt' needs rank 2"),
    ],
)
def test_what_nplr_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        nplr(*arguments)
