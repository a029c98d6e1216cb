"""HiPPO matrices against the authors' numbers and against their own definition."""

import numpy as np
import pytest
import torch

from longrange.ssm import hippo_n, legs, legs_low_rank
from tests.paths import GOLDEN


def test_legs_equals_the_authors_matrix():
    golden = np.load(GOLDEN / "hippo_legs.npz")
    A, B = legs(8)
    np.testing.assert_allclose(A.numpy(), golden["A"], rtol=1e-6)
    np.testing.assert_allclose(B.numpy(), golden["B"][:, 0], rtol=1e-6)


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
    P = legs_low_rank(N)
    normal = A + torch.outer(P, P)
    torch.testing.assert_close((V * Lambda) @ V.mH, normal.to(V.dtype), rtol=0, atol=1e-10)
    torch.testing.assert_close(V.mH @ V, torch.eye(N, dtype=V.dtype), rtol=0, atol=1e-12)


def test_first_half_of_the_spectrum_holds_the_negative_frequencies():
    Lambda, _ = hippo_n(16)
    assert (Lambda[:8].imag < 0).all()
    torch.testing.assert_close(Lambda[:8], Lambda[8:].flip(0).conj(), rtol=0, atol=1e-10)


def test_blocks_of_two_have_the_closed_form():
    Lambda, _ = hippo_n(2)
    assert Lambda[0].item() == pytest.approx(-0.5 - 0.5j * 3**0.5, abs=1e-12)
