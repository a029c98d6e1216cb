"""Dense discretisation against scipy's, and the inverse by quarters against LAPACK's."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import cont2discrete

from longrange.ssm.dense import gbt, gbt_eigenvalues, inverse

STEPS = torch.tensor([0.001, 0.1, 1.0], dtype=torch.float64)
RULES = {
    "euler": 0.0,
    "bilinear": 0.5,
    "backward_diff": 1.0,
    "gbt": 0.3,
}


def stable(H, N, draw):
    """Matrices whose symmetric part is negative."""
    M = torch.randn(H, N, N, generator=draw, dtype=torch.float64)
    return M - M.mT - 0.1 * M @ M.mT - 0.1 * torch.eye(N)


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("N", [1, 5, 40])
def test_rule_equals_scipy(method, shared, N):
    draw = torch.Generator().manual_seed(N)
    A, B = stable(3, N, draw), torch.randn(3, N, generator=draw, dtype=torch.float64)
    if shared:
        A, B = A[0], B[0]
    A_bar, B_bar = gbt(A, B, STEPS, RULES[method])
    for h, dt in enumerate(STEPS):
        dense = (A.expand(3, N, N)[h].numpy(), B.expand(3, N)[h, :, None].numpy(), np.zeros((1, N)), np.zeros((1, 1)))
        theirs_A, theirs_B, *_ = cont2discrete(dense, dt.item(), method=method, alpha=RULES[method])
        np.testing.assert_allclose(A_bar[h], theirs_A, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(B_bar[h], theirs_B[:, 0], rtol=1e-9, atol=1e-11)


@settings(max_examples=20, deadline=None)
@given(H=st.integers(1, 3), N=st.integers(1, 70), seed=st.integers(0, 99))
def test_inverse_and_its_gradient_equal_lapack(H, N, seed):
    draw = torch.Generator().manual_seed(seed)
    A = (torch.eye(N) - stable(H, N, draw)).requires_grad_()
    cotangent = torch.randn(H, N, N, generator=draw, dtype=torch.float64)
    ours, twin = inverse(A), torch.linalg.inv(A)
    torch.testing.assert_close(ours, twin, rtol=1e-9, atol=1e-10)
    gradients = (torch.autograd.grad((X * cotangent).sum(), A)[0] for X in (ours, twin))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_gradients_of_the_gradient_of_an_inverse():
    A = (torch.eye(20) - stable(2, 20, torch.Generator().manual_seed(0))).requires_grad_()
    assert torch.autograd.gradgradcheck(inverse, A)


def test_inverse_of_large_batches_is_right_after_a_change_of_threads():
    """In a process of its own: LAPACK's batched inverse is not, from then on."""
    code = """
import torch
from longrange.ssm.dense import inverse
torch.set_num_threads(2)
N = 256
A = 2 * torch.eye(N) + torch.randn(4, N, N, generator=torch.Generator().manual_seed(0)) / N**0.5
assert (A @ inverse(A) - torch.eye(N)).abs().max() < 1e-4
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rules_of_alpha_one_half_and_above_keep_a_stable_system_from_growing():
    A = stable(3, 6, torch.Generator().manual_seed(0))
    for alpha in (0.5, 0.75, 1.0):
        A_bar, _ = gbt(A, torch.ones(6).double(), STEPS, alpha)
        assert (torch.linalg.matrix_norm(A_bar, 2) < 1).all()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_eigenvalues_after_the_transform_are_those_of_its_matrix(alpha):
    torch.manual_seed(0)
    A, dt = -torch.diag(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)), torch.tensor([0.1, 0.3]).double()
    A += 0.1 * torch.randn(3, 3, dtype=torch.float64)
    expected = torch.linalg.eigvals(gbt(A, torch.ones(3, dtype=torch.float64), dt, alpha)[0])
    ours = gbt_eigenvalues(torch.linalg.eigvals(A), dt.unsqueeze(-1), alpha)
    order = [x.gather(-1, x.real.argsort(dim=-1)) for x in (ours, expected)]
    torch.testing.assert_close(*order, rtol=1e-12, atol=1e-12)
