"""Dense systems per feature: the CPU version against a plain loop, outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import feature_scan, scan_is_faster
from tests.backends import of_each_number_of_threads, running


def random_problem(batch, L, H, N, M, both, dtype=torch.float64, seed=0, radius=0.95):
    """Systems of a given spectral radius and inputs, all wanting gradients, and a cotangent."""
    draw = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(H, N, N, generator=draw, dtype=torch.float64))[0]
    shapes = (H, N), ((1 + both) * M, H, N), (M, H), (batch, L, H), (batch, L, M, H)
    *inputs, cotangent = (torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes)
    return [t.to(dtype).requires_grad_() for t in (radius * rotation, *inputs)], cotangent.to(dtype)


def outputs_and_gradients(inputs, cotangent, both, backend="cpu"):
    with running(backend):
        y = feature_scan(*inputs, bidirectional=both)
        return [y.detach(), *torch.autograd.grad((y * cotangent).sum(), inputs)]


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    L=st.integers(1, 70),
    H=st.integers(1, 40),
    N=st.sampled_from([1, 3, 8]),  # each is compiled for itself
    M=st.integers(1, 3),
    both=st.booleans(),
    seed=st.integers(0, 99),
)
def test_cpu_equals_reference(batch, L, H, N, M, both, seed):
    problem = random_problem(batch, L, H, N, M, both, seed=seed)
    fast, slow = (outputs_and_gradients(*problem, both, backend) for backend in ("cpu", "reference"))
    for ours, twin in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("L", [1, 5])
def test_gradcheck(both, backend, L):
    inputs, _ = random_problem(2, L, 3, 3, 2, both)
    with running(backend):
        assert torch.autograd.gradcheck(lambda *arguments: feature_scan(*arguments, bidirectional=both), inputs)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_second_direction_starts_at_the_next_step(backend):
    """An impulse is answered at its own step by D + C B, one step before by C' B, and two before by C' A B."""
    (A, B, C, D, u), _ = random_problem(1, 40, 2, 3, 1, True)
    u = torch.zeros_like(u)
    u[:, 35] = 1
    with running(backend):
        y = feature_scan(A, B, C, D, u, bidirectional=True)[0, :, 0]
    torch.testing.assert_close(y[35], D[0] + (C[0] * B).sum(-1))
    torch.testing.assert_close(y[34], (C[1] * B).sum(-1))
    torch.testing.assert_close(y[33], torch.einsum("hi,hij,hj->h", C[1], A, B))


@pytest.mark.parametrize("both", [False, True])
def test_float32_keeps_long_memories(both):
    single, cotangent = random_problem(1, 16384, 5, 3, 1, both, torch.float32, radius=0.9995)
    exact = [t.detach().double().requires_grad_() for t in single]
    ours, twins = outputs_and_gradients(single, cotangent, both), outputs_and_gradients(exact, cotangent.double(), both)
    for our, twin in zip(ours, twins, strict=True):
        assert our.dtype == torch.float32
        assert (our - twin).abs().max() < 1e-5 * twin.abs().max()


def test_a_nan_stays_in_its_feature_and_sequence():
    inputs, cotangent = random_problem(2, 40, 18, 3, 1, False)
    inputs[4].data[1, 33, 17] = float("nan")
    y, grad_A, _, _, _, grad_u = outputs_and_gradients(inputs, cotangent, False)
    assert y[1, 33:, 0, 17].isnan().all()
    assert y[1, :33].isfinite().all()
    assert y[0].isfinite().all()
    assert y[1, :, :, :17].isfinite().all()
    assert grad_A[:17].isfinite().all()
    assert grad_A[17].isnan().all()
    assert grad_u.isfinite().all()


def test_tensors_in_another_memory_order_are_read_right():
    inputs, cotangent = random_problem(3, 8, 32, 3, 2, True)
    strided = [t.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_() for t in inputs]
    ours = outputs_and_gradients(strided, cotangent.transpose(0, 1).contiguous().transpose(0, 1), True)
    for our, twin in zip(ours, outputs_and_gradients(inputs, cotangent, True), strict=True):
        torch.testing.assert_close(our, twin)


def test_the_number_of_threads_changes_no_bit():
    problem = random_problem(5, 60, 40, 3, 1, True, torch.float32)
    results = of_each_number_of_threads(lambda: outputs_and_gradients(*problem, True))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def test_more_states_are_left_to_the_convolution():
    inputs, _ = random_problem(1, 4, 3, 9, 1, False)
    assert not scan_is_faster(inputs[-1], 9)
    assert scan_is_faster(inputs[-1], 8)
    with running("reference"):
        assert not scan_is_faster(inputs[-1], 8)
    with pytest.raises(ValueError, match="9 states: at most 8"):
        feature_scan(*inputs)
