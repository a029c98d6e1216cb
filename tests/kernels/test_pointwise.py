"""GELU and gate against torch's own, and the vectorised logistic function at its edges."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from longrange.kernels import gated, gelu

TWINS = {
    "gelu": (gelu, lambda x: F.gelu(x, approximate="tanh"), 1),
    "gated": (gated, lambda value, gate: value * torch.sigmoid(gate), 2),
}
each_function = pytest.mark.parametrize(("ours", "twin", "arity"), TWINS.values(), ids=TWINS)


def outputs_and_gradients(function, inputs, cotangent):
    inputs = [t.detach().clone().to(cotangent.dtype).requires_grad_() for t in inputs]
    y = function(*inputs)
    return [y.detach(), *torch.autograd.grad((y * cotangent).sum(), inputs)]


@each_function
@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 40_000), scale=st.sampled_from([0.01, 1.0, 30.0]), seed=st.integers(0, 99))
def test_float32_equals_float64_torch(ours, twin, arity, size, scale, seed):
    draw = torch.Generator().manual_seed(seed)
    inputs = [scale * torch.randn(size, generator=draw) for _ in range(arity)]
    cotangent = torch.randn(size, generator=draw)
    exact = outputs_and_gradients(twin, inputs, cotangent.double())
    for fast, slow in zip(outputs_and_gradients(ours, inputs, cotangent), exact, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=3e-6, atol=3e-6 * max(scale, 1))


@each_function
def test_gradcheck_in_float64(ours, twin, arity):
    torch.manual_seed(0)
    inputs = [torch.randn(7, dtype=torch.float64, requires_grad=True) for _ in range(arity)]
    assert torch.autograd.gradcheck(ours, inputs)


@each_function
def test_any_memory_order_is_read_right(ours, twin, arity):
    torch.manual_seed(0)
    inputs = [torch.randn(5, 6, 7).permute(2, 0, 1) for _ in range(arity)]
    torch.testing.assert_close(ours(*inputs), twin(*inputs))


def test_extreme_inputs_saturate_and_a_nan_stays_one():
    gate = torch.tensor([float("inf"), 1e4, -1e4, float("-inf"), float("nan"), 0.0])
    y = gated(torch.ones(6), gate)
    torch.testing.assert_close(y, torch.tensor([1.0, 1.0, 0.0, 0.0, float("nan"), 0.5]), equal_nan=True)
    assert gelu(torch.tensor([-50.0, 50.0])).tolist() == pytest.approx([0.0, 50.0], abs=1e-30)
    assert gelu(torch.tensor([float("nan")])).isnan().all()
