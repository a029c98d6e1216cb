"""Diagonal plus low-rank systems against the bilinear rule on full dense matrices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.ssm import (
    BilinearDPLR,
    double_length,
    dplr_eigenvalues,
    nplr,
    row_to_complex,
    row_to_real,
    state_to_complex,
    state_to_real,
    truncate,
    untruncate,
)
from tests.ssm.dplr_problem import golden_system, random_system

SIZES = {"H": st.integers(1, 3), "half": st.integers(1, 5), "R": st.integers(1, 3), "seed": st.integers(0, 99)}


def with_conjugates(x):
    return torch.cat([x, x.conj()], dim=-1)


def full_bilinear(Lambda, P, B, dt):
    """A_bar (H, N, N) and B_bar (H, N) on all states, conjugates included, by dense solves."""
    both = with_conjugates(P)
    A = torch.diag_embed(with_conjugates(Lambda)) - torch.einsum("rhi,rhj->hij", both, both.conj())
    half_step = A * dt[:, None, None] / 2
    identity = torch.eye(A.shape[-1], dtype=A.dtype)
    inputs = (dt[:, None] * with_conjugates(B)).unsqueeze(-1)
    A_bar = torch.linalg.solve(identity - half_step, identity + half_step)
    return A_bar, torch.linalg.solve(identity - half_step, inputs).squeeze(-1)


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_step_equals_the_full_dense_one(H, half, R, seed):
    Lambda, P, B, x, dt = (t.detach() for t in random_system(H, half, R, M=4, seed=seed))
    A_bar, B_bar = full_bilinear(Lambda, P, B, dt)
    system = BilinearDPLR(Lambda, P, dt)
    expected = torch.einsum("hij,bhj->bhi", A_bar, with_conjugates(x))
    torch.testing.assert_close(with_conjugates(system.apply(x)), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(with_conjugates(system.input(B)), B_bar, rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(**SIZES)
def test_step_has_the_dense_gradients(H, half, R, seed):
    Lambda, P, B, _, dt = random_system(H, half, R, seed=seed)
    system = BilinearDPLR(Lambda, P, dt)
    fast = system.apply(system.input(B))
    A_bar, B_bar = full_bilinear(Lambda, P, B, dt)
    slow = torch.einsum("hij,hj->hi", A_bar, B_bar)[:, :half]
    cotangent = torch.randn(H, half, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
    gradients = (torch.autograd.grad(x, (Lambda, P, B, dt), cotangent) for x in (fast, slow))
    for ours, twin in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-8, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(**SIZES)
def test_dense_real_matrices_do_the_same_step(H, half, R, seed):
    Lambda, P, _, x, dt = (t.detach() for t in random_system(H, half, R, M=2, seed=seed))
    system = BilinearDPLR(Lambda, P, dt)
    stepped = torch.einsum("hij,bhj->bhi", system.dense(), state_to_real(x))
    torch.testing.assert_close(state_to_complex(stepped), system.apply(x))


def test_every_discretised_measure_is_stable():
    for measure in ("legs", "legt", "fourier", "lagt"):
        Lambda, P, _, _ = nplr(measure, 16, rank=2)
        A_bar = BilinearDPLR(Lambda.unsqueeze(0), P.unsqueeze(1), torch.tensor([0.1], dtype=torch.float64)).dense()
        assert torch.linalg.eigvals(A_bar).abs().max() < 1 + 1e-12


def test_rows_and_states_multiply_to_the_output():
    _, _, x, C, _ = random_system(3, 4, 1, M=2)
    y = torch.einsum("mhn,hn->mh", row_to_real(C), state_to_real(x))
    torch.testing.assert_close(y, 2 * (C * x).sum(-1).real)
    assert torch.equal(row_to_complex(row_to_real(C)), C)
    assert torch.equal(state_to_complex(state_to_real(x)), x)


@pytest.mark.parametrize("L", [1, 2, 7, 100])
def test_truncation_subtracts_what_comes_after_L_steps(L):
    Lambda, P, _, C, dt = (t.detach() for t in random_system(3, 4, 2, M=2))
    A_bar, rows = BilinearDPLR(Lambda, P, dt).dense(), row_to_real(C)
    after = rows
    for _ in range(L):
        after = torch.einsum("mhi,hij->mhj", after, A_bar)
    C_tilde = truncate(rows, A_bar, L)
    torch.testing.assert_close(C_tilde, rows - after)
    torch.testing.assert_close(untruncate(C_tilde, A_bar, L), rows)
    torch.testing.assert_close(double_length(C_tilde, A_bar, L), truncate(rows, A_bar, 2 * L))


@pytest.mark.parametrize("i", [0, 1, 2, 3])
def test_truncation_equals_the_authors(i):
    golden = golden_system(i)
    A_bar = BilinearDPLR(golden["Lambda"], golden["P"], golden["dt"]).dense()
    C_tilde = row_to_complex(truncate(row_to_real(golden["C"]), A_bar, golden["L"]))
    assert (C_tilde - golden["C_tilde"]).abs().max() < 1e-4 * C_tilde.abs().max()


def test_eigenvalues_of_legs_are_minus_one_to_minus_n():
    Lambda, P, _, _ = nplr("legs", 12)
    found = dplr_eigenvalues(Lambda.unsqueeze(0), P.unsqueeze(1)).squeeze(0)
    torch.testing.assert_close(found.real.sort().values, -torch.arange(12.0, 0, -1).double(), rtol=1e-6, atol=0)
    assert found.imag.abs().max() < 1e-6


@pytest.mark.parametrize("rank", [1, 2])
def test_eigenvalues_of_many_systems_are_those_of_their_complex_matrices(rank):
    """Conjugates written out: twice the states, and no real form."""
    Lambda, P, *_ = (t.detach() for t in random_system(20, 3, rank))
    full, columns = torch.cat([Lambda, Lambda.conj()], -1), torch.cat([P, P.conj()], -1)
    A = torch.diag_embed(full) - torch.einsum("rsn,rsm->snm", columns, columns.conj())
    for ours, matrix in zip(dplr_eigenvalues(Lambda, P), A, strict=True):
        distance = (ours.unsqueeze(1) - torch.linalg.eigvals(matrix)).abs()
        assert max(distance.amin(0).max(), distance.amin(1).max()) < 1e-10
