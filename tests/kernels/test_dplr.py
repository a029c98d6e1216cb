"""The transform of S4's kernel: sums combined in the cache against sums stored, outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import dplr_transform
from longrange.kernels.dplr import dplr_transform_reference
from longrange.ssm import cauchy_weights, nodes
from tests.backends import running


def problem(M, R, H, N, L, dtype=torch.float64, seed=0):
    """Weights, poles and nodes of random systems with M channels and rank R."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=dtype.to_complex())

    dt = 0.01 + 0.3 * torch.rand(H, generator=draw, dtype=dtype)
    Lambda = torch.complex(-0.3 - normal(H, N).real.abs(), 4 * normal(H, N).imag)
    weights = cauchy_weights(normal(H, N), normal(M, H, N), normal(R, H, N), dt)
    poles = dt.unsqueeze(-1) * Lambda
    parts = torch.stack([weights.real, weights.imag], dim=2), torch.stack([poles.real, poles.imag])
    return [t.requires_grad_() for t in parts], nodes(L, dtype)


def outputs_and_gradients(function, inputs, y):
    out = function(*inputs, y)
    cotangent = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.complex128)
    loss = (out * cotangent.to(out.dtype)).real.sum()
    return [out.detach(), *torch.autograd.grad(loss, inputs)]


@settings(max_examples=30, deadline=None)
@given(M=st.integers(1, 3), H=st.integers(1, 5), N=st.integers(1, 6), L=st.integers(1, 700), seed=st.integers(0, 99))
def test_cpu_equals_reference(M, H, N, L, seed):
    inputs, y = problem(M, 1, H, N, L, seed=seed)
    with running("cpu"):
        fast = outputs_and_gradients(dplr_transform, inputs, y)
    with running("reference"):
        slow = outputs_and_gradients(dplr_transform_reference, inputs, y)
    for ours, twin in zip(fast, slow, strict=True):
        assert (ours - twin).abs().max() <= 1e-10 * (1 + twin.abs().max())


@pytest.mark.parametrize("R", [1, 2])
def test_gradcheck(R):
    inputs, y = problem(2, R, 2, 3, 9)
    assert torch.autograd.gradcheck(lambda v, Lambda: dplr_transform(v, Lambda, y), inputs)


def test_float32_stays_close_to_float64():
    exact, y = problem(2, 1, 8, 32, 4096)
    single = [t.detach().float().requires_grad_() for t in exact]
    fast = outputs_and_gradients(dplr_transform, single, y.float())
    slow = outputs_and_gradients(dplr_transform, exact, y)
    assert fast[0].dtype == torch.complex64
    for ours, twin in zip(fast, slow, strict=True):
        assert (ours - twin).abs().max() < 1e-4 * twin.abs().max()


def test_nothing_of_the_size_of_the_sums_is_saved():
    inputs, y = problem(2, 1, 16, 8, 4096, torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        out = dplr_transform(*inputs, y)
    sums = 2 * 6 * 16 * len(y)  # three rows by two columns, complex
    assert sum(saved) <= 2 * out.numel() + sum(t.numel() for t in (*inputs, y)) < sums / 2


def test_a_nan_in_one_feature_stays_in_it():
    (v, Lambda), y = problem(1, 1, 3, 4, 50)
    v = v.detach().clone()
    v[0, 0, 0, 1, 2] = float("nan")
    out = dplr_transform(v, Lambda, y)
    assert out[:, 1].isnan().all()
    assert out[:, [0, 2]].isfinite().all()
