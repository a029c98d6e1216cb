"""Kernels from the generating function against the authors' and against repeated steps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.ssm import (
    BilinearDPLR,
    cauchy_weights,
    kernel_from_transform,
    nodes,
    nplr,
    row_to_complex,
    row_to_real,
    transform_from_sums,
    truncate,
)
from tests.ssm.dplr_problem import golden_system, kernel_by_steps, random_system


def cauchy_sums(weights, poles, y):
    """sum_n v_n / (iy - p_n) + conj(v_n) / (iy - conj(p_n)); weights (..., H, n), poles (H, n), result (..., H, K)."""
    z = torch.complex(torch.zeros_like(y), y)
    pairs = ((weights, poles), (weights.conj(), poles.conj()))
    return sum((v.unsqueeze(-1) / (z - p.unsqueeze(-1))).sum(-2) for v, p in pairs)


def kernel(Lambda, P, B, C_tilde, dt, L):
    y = nodes(L, dt.dtype)
    weights = cauchy_weights(B, C_tilde, P, dt)
    sums = cauchy_sums(weights, dt.unsqueeze(-1) * Lambda, y)
    return kernel_from_transform(transform_from_sums(sums, y), weights, L)


def truncated(Lambda, P, C, dt, L):
    return row_to_complex(truncate(row_to_real(C), BilinearDPLR(Lambda, P, dt).dense(), L))


@settings(max_examples=40, deadline=None)
@given(
    H=st.integers(1, 3),
    half=st.integers(1, 5),
    R=st.integers(1, 3),
    M=st.integers(1, 2),
    L=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_equals_repeated_steps(H, half, R, M, L, seed):
    system = Lambda, P, B, C, dt = random_system(H, half, R, M, seed)
    fast = kernel(Lambda, P, B, truncated(Lambda, P, C, dt, L), dt, L)
    slow = kernel_by_steps(Lambda, P, B, C, dt, L)
    torch.testing.assert_close(fast, slow, rtol=1e-8, atol=1e-9)
    cotangent = torch.randn(M, H, L, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    gradients = (torch.autograd.grad(K, system, cotangent) for K in (fast, slow))
    for ours, twin in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-7, atol=1e-7 * twin.abs().max().item())


@pytest.mark.parametrize("i", [0, 1, 2, 3])
def test_equals_the_authors_kernel(i):
    golden = golden_system(i)
    dt, L = golden["rate"] * golden["dt"], int(golden["L"] / golden["rate"])
    K = kernel(golden["Lambda"], golden["P"], golden["B"], golden["C_tilde"], dt, L)
    assert (K - golden["K"]).abs().max() < 1e-4 * golden["K"].abs().max()


@pytest.mark.parametrize("i", [0, 1, 2])
def test_the_authors_kernel_is_that_of_repeated_steps(i):
    golden = golden_system(i)
    K = kernel_by_steps(*(golden[name] for name in ("Lambda", "P", "B", "C", "dt", "L")))
    assert (K - golden["K"]).abs().max() < 1e-4 * golden["K"].abs().max()


@pytest.mark.parametrize(("measure", "rank"), [("legs", 1), ("legt", 2)])
@pytest.mark.parametrize("L", [1024, 1001])
def test_float32_is_accurate_up_to_the_nyquist_node(measure, rank, L):
    dt = torch.logspace(-3, -1, 5, dtype=torch.float64)
    half = [t.unsqueeze(-2).expand(*t.shape[:-1], 5, -1) for t in nplr(measure, 64, rank)[:3]]
    Lambda, P, B = half[0] - 1e-4, half[1], half[2]
    C = torch.randn(1, 5, 32, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    system = [Lambda, P, B, truncated(Lambda, P, C, dt, L), dt]
    exact = kernel(*system, L)
    single = kernel(*(t.to(torch.complex64 if t.is_complex() else torch.float32) for t in system), L)
    assert single.dtype == torch.float32
    error = (single - exact).abs().amax(-1) / exact.abs().amax(-1)
    assert error.max() < 1e-4


@pytest.mark.parametrize("L", [1, 2, 5, 1024])
def test_nodes_are_the_bilinear_images_of_the_roots_of_unity(L):
    w = torch.exp(-2j * torch.pi * torch.arange((L + 1) // 2, dtype=torch.float64) / L)
    z = 2 * (1 - w) / (1 + w)
    torch.testing.assert_close(nodes(L, torch.float64), z.imag, rtol=1e-9, atol=1e-12)
    assert nodes(L, torch.float32).dtype == torch.float32
