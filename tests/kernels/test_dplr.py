"""S4's kernel: sums combined in the cache and transformed there, against sums stored; outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import dplr_kernel
from longrange.kernels.dplr import dplr_kernel_reference
from tests.backends import running


def system(M, R, H, N, dtype=torch.float64, seed=0):
    """B, C, P, Lambda and dt of random systems with M channels and rank R, all wanting gradients."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=dtype.to_complex())

    dt = 0.01 + 0.3 * torch.rand(H, generator=draw, dtype=dtype)
    Lambda = torch.complex(-0.3 - normal(H, N).real.abs(), 4 * normal(H, N).imag)
    tensors = normal(H, N), normal(M, H, N), normal(R, H, N), Lambda, dt
    return [t.requires_grad_() for t in tensors]


def outputs_and_gradients(function, inputs, L):
    out = function(*inputs, L)
    cotangent = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [out.detach(), *torch.autograd.grad(out, inputs, cotangent.to(out.dtype))]


LENGTHS = st.integers(1, 700) | st.sampled_from([4, 8, 64, 256, 1024])


@settings(max_examples=30, deadline=None)
@given(M=st.integers(1, 3), H=st.integers(1, 20), N=st.integers(1, 6), L=LENGTHS, seed=st.integers(0, 99))
def test_cpu_equals_reference(M, H, N, L, seed):
    inputs = system(M, 1, H, N, seed=seed)
    with running("cpu"):
        fast = outputs_and_gradients(dplr_kernel, inputs, L)
    slow = outputs_and_gradients(dplr_kernel_reference, inputs, L)
    for ours, twin in zip(fast, slow, strict=True):
        assert (ours - twin).abs().max() <= 1e-10 * (1 + twin.abs().max())


@pytest.mark.parametrize("L", [8, 9])
@pytest.mark.parametrize("R", [1, 2])
def test_gradcheck(R, L):
    inputs = system(2, R, 2, 3)
    assert torch.autograd.gradcheck(lambda *tensors: dplr_kernel(*tensors, L), inputs)


@pytest.mark.parametrize("L", [4096, 4000])
def test_float32_stays_close_to_float64(L):
    exact = system(2, 1, 8, 32)
    single = [t.detach().to(torch.complex64 if t.is_complex() else torch.float32).requires_grad_() for t in exact]
    fast = outputs_and_gradients(dplr_kernel, single, L)
    slow = outputs_and_gradients(dplr_kernel, exact, L)
    assert fast[0].dtype == torch.float32
    for ours, twin in zip(fast, slow, strict=True):
        assert (ours - twin).abs().max() < 1e-4 * twin.abs().max()


def test_conjugated_views_are_read_as_what_they_mean():
    inputs = [t.detach() for t in system(1, 1, 3, 4)]
    turned = [t.conj().resolve_conj().conj() if t.is_complex() else t for t in inputs]
    assert turned[0].is_conj()
    torch.testing.assert_close(dplr_kernel(*turned, 64), dplr_kernel(*inputs, 64), rtol=0, atol=0)


def test_only_the_system_is_saved():
    inputs = system(2, 1, 16, 8, torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        dplr_kernel(*inputs, 4096)
    nodes = 2048
    assert sum(saved) <= sum(t.numel() for t in inputs) + nodes


def test_a_nan_in_one_feature_stays_in_it():
    B, C, P, Lambda, dt = (t.detach().clone() for t in system(1, 1, 3, 4))
    B[1, 2] = float("nan")
    out = dplr_kernel(B, C, P, Lambda, dt, 64)
    assert out[:, 1].isnan().all()
    assert out[:, [0, 2]].isfinite().all()


@pytest.mark.parametrize("wrong", range(5))
def test_shapes_that_do_not_fit_are_refused(wrong):
    inputs = [t.detach() for t in system(2, 1, 3, 4)]
    inputs[wrong] = inputs[wrong][..., :-1]
    with pytest.raises(ValueError, match="do not fit"):
        dplr_kernel(*inputs, 64)
