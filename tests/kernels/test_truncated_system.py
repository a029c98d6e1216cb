"""The recurrence of small dense systems: the CPU version against plain torch, outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import truncated_system
from tests.backends import running


def parameters(H, N, M, seed, smallest=-4.0):
    """Stable systems: a skew matrix less a positive one."""
    draw = torch.Generator().manual_seed(seed)
    S, R = (torch.randn(H, N, N, generator=draw, dtype=torch.float64) for _ in range(2))
    A = 3 * (S - S.mT) - R @ R.mT / N - 0.1 * torch.eye(N)
    B, C = (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((H, N), (M, H, N)))
    dt = torch.exp(smallest * torch.rand(H, generator=draw, dtype=torch.float64))
    return [t.requires_grad_() for t in (A, B, C, dt)]


def outputs_and_gradients(backend, inputs, L):
    with running(backend):
        outputs = truncated_system(*inputs, L)
    cotangents = [torch.randn(t.shape, generator=torch.Generator().manual_seed(1)).to(t) for t in outputs]
    return [*outputs, *torch.autograd.grad(outputs, inputs, cotangents)]


@settings(max_examples=25, deadline=None)
@given(H=st.integers(1, 20), N=st.integers(1, 8), M=st.integers(1, 3), L=st.integers(1, 3000), seed=st.integers(0, 99))
def test_cpu_equals_reference(H, N, M, L, seed):
    inputs = parameters(H, N, M, seed)
    for fast, slow in zip(*(outputs_and_gradients(b, inputs, L) for b in ("cpu", "reference")), strict=True):
        assert fast.shape == slow.shape
        torch.testing.assert_close(fast, slow, rtol=1e-6, atol=1e-6 * slow.detach().abs().max().item())


@pytest.mark.parametrize("L", [1, 2, 7, 12])
def test_gradcheck(L):
    assert torch.autograd.gradcheck(lambda *inputs: truncated_system(*inputs, L), parameters(2, 3, 2, 0))


def test_outputs_have_the_precision_of_the_input_weights():
    A, *others = parameters(5, 4, 2, 0, smallest=-9.0)
    single = [A.detach().requires_grad_(), *(t.detach().float().requires_grad_() for t in others)]
    results = (outputs_and_gradients("cpu", inputs, 1000) for inputs in (single, [A, *others]))
    for low, exact in zip(*results, strict=True):
        assert low.dtype == torch.float32 or low.shape == A.shape
        assert (low - exact).norm() < 1e-5 * exact.norm()
