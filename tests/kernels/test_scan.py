"""The scan: fast versions against the plain loop, outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import diagonal_scan
from tests.backends import running


def random_problem(B, L, P, bidirectional, dtype=torch.float64, seed=0):
    """Inputs of a stable recurrence and a cotangent, all wanting gradients but the last."""
    draw = torch.Generator().manual_seed(seed)
    radius, angle = torch.rand(2, P, generator=draw, dtype=dtype)
    A_bar = torch.stack([radius * torch.cos(6 * angle), radius * torch.sin(6 * angle)])
    D = 1 + bidirectional
    Bu = torch.randn(B, L, 2, P, generator=draw, dtype=dtype)
    initial = torch.randn(B, D, 2, P, generator=draw, dtype=dtype)
    cotangent = torch.randn(B, L, D, 2, P, generator=draw, dtype=dtype)
    return [t.requires_grad_() for t in (A_bar, Bu, initial)], cotangent


def outputs_and_gradients(inputs, cotangent, backend="cpu", **options):
    with running(backend):
        x = diagonal_scan(*inputs, **options)
        return [x.detach(), *torch.autograd.grad((x * cotangent).sum(), inputs)]


@settings(max_examples=40, deadline=None)
@given(B=st.integers(1, 4), L=st.integers(1, 70), P=st.integers(1, 140), both=st.booleans(), seed=st.integers(0, 99))
def test_cpu_equals_reference(B, L, P, both, seed):
    inputs, cotangent = random_problem(B, L, P, both, seed=seed)
    fast = outputs_and_gradients(inputs, cotangent, bidirectional=both, backend="cpu")
    slow = outputs_and_gradients(inputs, cotangent, bidirectional=both, backend="reference")
    for ours, twin in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("L", [1, 6])
def test_gradcheck(both, backend, L):
    inputs, _ = random_problem(2, L, 3, both)
    with running(backend):
        assert torch.autograd.gradcheck(lambda *arguments: diagonal_scan(*arguments, bidirectional=both), inputs)


def test_without_an_initial_state_it_starts_at_zero():
    (A_bar, Bu, _), _ = random_problem(2, 5, 4, False)
    torch.testing.assert_close(diagonal_scan(A_bar, Bu)[:, 0, 0], Bu[:, 0])


def test_float32_on_a_long_sequence():
    inputs, cotangent = random_problem(1, 5000, 17, True)
    single = [t.detach().float().requires_grad_() for t in inputs]
    fast = outputs_and_gradients(single, cotangent.float(), bidirectional=True, backend="cpu")
    slow = outputs_and_gradients(inputs, cotangent, bidirectional=True, backend="cpu")
    for ours, twin in zip(fast, slow, strict=True):
        assert (ours - twin).abs().max() < 2e-5 * twin.abs().max()


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_bfloat16_inputs_leave_the_state_in_float32(both, backend):
    """A slow pole adds 3,000 inputs up: a state rounded at each of them would stand still."""
    (_, Bu, initial), cotangent = random_problem(2, 3000, 27, both)
    slow = torch.stack([torch.full((27,), 0.9995), torch.zeros(27)])
    Bu, cotangent = (Bu.detach().abs()).bfloat16(), cotangent.bfloat16()
    low = [slow, Bu, initial.detach().float()]
    exact = [t.double().requires_grad_() for t in low]
    ours = outputs_and_gradients([t.requires_grad_() for t in low], cotangent, backend, bidirectional=both)
    twin = outputs_and_gradients(exact, cotangent.double(), "reference", bidirectional=both)
    assert [t.dtype for t in ours] == [torch.bfloat16, torch.float32, torch.bfloat16, torch.float32]
    for fast, right in zip(ours, twin, strict=True):
        assert (fast - right).abs().max() <= 2**-7 * right.abs().max()  # of two directions' gradients each is rounded
    assert ((ours[0] - twin[0]).abs() <= 2**-8 * twin[0].abs()).all()


def test_a_nan_in_one_sequence_stays_in_it():
    (A_bar, Bu, _), _ = random_problem(2, 9, 70, True)
    Bu = Bu.detach().clone()
    Bu[1, 4] = float("nan")
    x = diagonal_scan(A_bar, Bu, bidirectional=True)
    assert x[0].isfinite().all()
    assert x[1, 4:, 0].isnan().all()
    assert x[1, :4, 0].isfinite().all()


def test_a_cotangent_in_another_memory_order_is_read_right():
    inputs, cotangent = random_problem(3, 8, 5, True)
    strided = cotangent.transpose(0, 1).contiguous().transpose(0, 1)
    ours = outputs_and_gradients(inputs, strided, bidirectional=True)
    for a, b in zip(ours, outputs_and_gradients(inputs, cotangent, bidirectional=True), strict=True):
        torch.testing.assert_close(a, b)
