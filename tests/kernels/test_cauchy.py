"""The Cauchy sums: the CPU version against plain complex arithmetic, outputs, gradients and memory."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels.cauchy import cauchy
from tests.backends import running

PEAK = """
import resource, torch
from longrange.kernels.cauchy import cauchy
def grown(H, N, K):
    v, poles = torch.randn(2, 2, H, N, requires_grad=True), -torch.rand(2, H, N)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cauchy(v, poles.requires_grad_(), torch.rand(K)).sum().backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
grown(1, 1, 1)
print(grown(32, 64, 16384))
"""


def random_problem(J, H, N, K, dtype=torch.float64, seed=0):
    """Weights and poles that want gradients, points of which some are near resonance, and a cotangent."""
    draw = torch.Generator().manual_seed(seed)
    v = torch.randn(J, 2, H, N, generator=draw, dtype=dtype)
    decay, frequency = torch.rand(2, H, N, generator=draw, dtype=dtype)
    poles = torch.stack([-0.05 - decay, -6 * frequency])
    y = 2 * torch.tan(math.pi / 2 * torch.arange(K, dtype=dtype) / K)
    cotangent = torch.randn(J, 2, H, K, generator=draw, dtype=dtype)
    return v.requires_grad_(), poles.requires_grad_(), y, cotangent


def sums_and_gradients(v, poles, y, cotangent, backend="cpu"):
    with running(backend):
        sums = cauchy(v, poles, y)
        return [sums.detach(), *torch.autograd.grad((sums * cotangent).sum(), (v, poles))]


@settings(max_examples=40, deadline=None)
@given(J=st.integers(1, 7), H=st.integers(1, 4), N=st.integers(1, 9), K=st.integers(1, 600), seed=st.integers(0, 99))
def test_cpu_equals_reference(J, H, N, K, seed):
    problem = random_problem(J, H, N, K, seed=seed)
    for ours, twin in zip(sums_and_gradients(*problem), sums_and_gradients(*problem, "reference"), strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-10, atol=1e-10)


def test_reference_is_the_sum_over_pairs():
    v, poles, y, _ = random_problem(2, 1, 2, 3)
    with running("reference"):
        sums = cauchy(v, poles, y)
    for j in range(2):
        for k, point in enumerate(y.tolist()):
            terms = [(complex(*v[j, :, 0, n].tolist()), complex(*poles[:, 0, n].tolist())) for n in range(2)]
            pairs = [w / (1j * point - a) + w.conjugate() / (1j * point - a.conjugate()) for w, a in terms]
            assert complex(*sums[j, :, 0, k].tolist()) == pytest.approx(sum(pairs), rel=1e-12)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("K", [1, 5])
def test_gradcheck(backend, K):
    v, poles, y, _ = random_problem(2, 2, 3, K)
    with running(backend):
        assert torch.autograd.gradcheck(lambda *arguments: cauchy(*arguments, y), (v, poles))


@pytest.mark.parametrize("decay", [0.5, 1e-3, 1e-5])
def test_float32_near_resonance(decay):
    draw = torch.Generator().manual_seed(0)
    y = 2 * torch.tan(math.pi * torch.arange(8192) / 16384)
    v, cotangent = torch.randn(2, 2, 3, 32, generator=draw), torch.randn(2, 2, 3, 8192, generator=draw) / (1 + y * y)
    poles = torch.stack([torch.full((3, 32), -decay), -math.pi / 100 * torch.arange(32).expand(3, 32)])
    single = [v.requires_grad_(), poles.requires_grad_(), y, cotangent]
    exact = [t.detach().double().requires_grad_(t.requires_grad) for t in single]
    for ours, twin in zip(sums_and_gradients(*single), sums_and_gradients(*exact), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - twin).abs().max() < 2e-6 * twin.abs().max()


def test_a_nan_in_one_feature_stays_in_it():
    v, poles, y, cotangent = random_problem(3, 3, 4, 300)
    v.data[0, 0, 1, 2] = poles.data[0, 2, 3] = float("nan")
    sums, grad_v, grad_poles = sums_and_gradients(v, poles, y, cotangent)
    assert sums[:, :, 0].isfinite().all()
    assert sums[1:, :, 1].isfinite().all()
    assert sums[0, :, 1].isnan().any()
    assert sums[:, :, 2].isnan().all()
    assert grad_v[:, :, 0].isfinite().all()
    assert grad_poles[:, 0].isfinite().all()
    assert grad_poles[:, 1, 2].isnan().all()


def test_arguments_in_another_memory_order_are_read_right():
    problem = random_problem(3, 4, 5, 270)
    strided = [t.detach().transpose(0, -1).contiguous().transpose(0, -1) for t in problem]
    strided[:2] = [t.requires_grad_() for t in strided[:2]]
    for ours, twin in zip(sums_and_gradients(*strided), sums_and_gradients(*problem), strict=True):
        torch.testing.assert_close(ours, twin)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB on Linux alone")
def test_terms_are_never_stored():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, check=True, text=True)
    inputs_and_sums = 4 * (2 * 2 * 32 * (64 + 16384) + 2 * 32 * 64)
    assert int(done.stdout) < 6 * inputs_and_sums < 32 * 64 * 16384 * 8 / 5
