"""The Vandermonde product: the CPU version against a table of all powers, outputs, gradients and memory."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels.vandermonde import vandermonde
from tests.backends import running

PEAK = """
import resource, torch
from longrange.kernels.vandermonde import vandermonde
def grown(H, N, L):
    c, A_bar = torch.randn(1, 2, H, N, requires_grad=True), torch.rand(2, H, N) / 2
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    vandermonde(c, A_bar.requires_grad_(), L).sum().backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
grown(1, 1, 1)
print(grown(32, 64, 16384))
"""


def random_problem(M, H, N, L, dtype=torch.float64, seed=0, smallest=0.0):
    """Weights and transitions of modulus `smallest` to 1 that want gradients, a length and a cotangent."""
    draw = torch.Generator().manual_seed(seed)
    c = torch.randn(M, 2, H, N, generator=draw, dtype=dtype)
    radius, angle = torch.rand(2, H, N, generator=draw, dtype=dtype)
    radius, angle = smallest + (1 - smallest) * radius, 6 * angle
    A_bar = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)])
    return c.requires_grad_(), A_bar.requires_grad_(), torch.randn(M, H, L, generator=draw, dtype=dtype)


def kernel_and_gradients(c, A_bar, cotangent, backend="cpu"):
    with running(backend):
        K = vandermonde(c, A_bar, cotangent.shape[-1])
        return [K.detach(), *torch.autograd.grad((K * cotangent).sum(), (c, A_bar))]


@settings(max_examples=40, deadline=None)
@given(M=st.integers(1, 3), H=st.integers(1, 4), N=st.integers(1, 9), L=st.integers(1, 600), seed=st.integers(0, 99))
def test_cpu_equals_reference(M, H, N, L, seed):
    problem = random_problem(M, H, N, L, seed=seed)
    for ours, twin in zip(kernel_and_gradients(*problem), kernel_and_gradients(*problem, "reference"), strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("L", [1, 2, 7])
def test_gradcheck(backend, L):
    c, A_bar, _ = random_problem(2, 2, 3, L)
    with running(backend):
        assert torch.autograd.gradcheck(lambda *arguments: vandermonde(*arguments, L), (c, A_bar))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_it_is_the_impulse_response_of_the_recurrence(backend):
    c, A_bar, _ = random_problem(2, 3, 4, 9)
    with running(backend):
        K = vandermonde(c, A_bar, 9)
    a, x = torch.complex(*A_bar), torch.complex(c[:, 0], c[:, 1])
    for k in range(9):
        torch.testing.assert_close(K[:, :, k], 2 * x.sum(-1).real)
        x = a * x


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_zero_transition_is_an_impulse(backend):
    c, A_bar, _ = random_problem(1, 2, 1, 70)
    K, _, grad_A = kernel_and_gradients(c, torch.zeros_like(A_bar, requires_grad=True), torch.ones(1, 2, 70), backend)
    torch.testing.assert_close(K[0, :, 0], 2 * c[0, 0, :, 0])
    assert (K[0, :, 1:] == 0).all()
    torch.testing.assert_close(grad_A, 2 * c[0] * torch.tensor([1.0, -1.0])[:, None, None])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("L", "smallest"), [(16384, 0.9999), (65536, 0.99999)])
def test_float32_keeps_long_memories(L, smallest, backend):
    single = random_problem(2, 3, 5, L, torch.float32, smallest=smallest)
    exact = [t.detach().double().requires_grad_(t.requires_grad) for t in single]
    for ours, twin in zip(kernel_and_gradients(*single, backend), kernel_and_gradients(*exact), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - twin).abs().max() < 3e-6 * twin.abs().max()


def test_a_nan_in_one_feature_stays_in_it():
    c, A_bar, cotangent = random_problem(2, 3, 4, 100)
    c.data[0, 0, 1, 2] = A_bar.data[0, 2, 3] = float("nan")
    K, grad_c, grad_A = kernel_and_gradients(c, A_bar, cotangent)
    assert K[:, 0].isfinite().all()
    assert K[1, 1].isfinite().all()
    assert K[0, 1].isnan().any()
    assert K[:, 2, 1:].isnan().all()
    assert grad_c[:, :, 0].isfinite().all()
    assert grad_A[:, 0].isfinite().all()
    assert grad_A[:, 1, 2].isnan().all()


def test_arguments_in_another_memory_order_are_read_right():
    problem = random_problem(3, 4, 5, 100)
    strided = [t.detach().transpose(0, -1).contiguous().transpose(0, -1) for t in problem]
    strided[:2] = [t.requires_grad_() for t in strided[:2]]
    for ours, twin in zip(kernel_and_gradients(*strided), kernel_and_gradients(*problem), strict=True):
        torch.testing.assert_close(ours, twin)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB on Linux alone")
def test_powers_are_never_stored():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, check=True, text=True)
    inputs_and_kernel = 4 * (32 * 16384 + 4 * 32 * 64)
    assert int(done.stdout) < 10 * inputs_and_kernel < 32 * 64 * 16384 * 8 / 5
