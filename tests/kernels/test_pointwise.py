"""GELU, gates and D u against torch's own functions, with the factors and addends that they take, and at the edges."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from longrange.kernels.pointwise import add_scaled, gated, gelu, gelu_fork, glu, scaled_fork
from tests.backends import running


def sum_with_fork(y, D, u):
    """y + D u + u^2: the gradients of u meet."""
    u, scaled = scaled_fork(D, u)
    return add_scaled(y, scaled) + u.square()


# Functions of x (B, L, H), weight (2 H, H), bias (2 H,), two factors and a skip: ours and torch's.
TWINS = {
    "gelu": (
        lambda x, W, b, after, before, skip: gelu(x, after, before),
        lambda x, W, b, after, before, skip: after * F.gelu(before * x, approximate="tanh"),
    ),
    "exact_gelu": (
        lambda x, W, b, after, before, skip: gelu(x, after, before, exact=True),
        lambda x, W, b, after, before, skip: after * F.gelu(before * x),
    ),
    "gelu_fork": (
        lambda x, W, b, after, before, skip: sum(y * (k + skip) for k, y in enumerate(gelu_fork(x, after, before))),
        lambda x, W, b, after, before, skip: (
            after * F.gelu(before * x, approximate="tanh") * (1 + 2 * skip) + x * (2 + skip)
        ),
    ),
    "second_of_gelu_fork": (
        lambda x, W, b, after, before, skip: gelu_fork(x, after, before, exact=True)[1],
        lambda x, W, b, after, before, skip: after * F.gelu(before * x),
    ),
    "third_of_gelu_fork": (
        lambda x, W, b, after, before, skip: gelu_fork(x, after, before)[2],
        lambda x, W, b, after, before, skip: x,
    ),
    "gated": (
        lambda x, W, b, scale, _, skip: gated(x + 1, x, W[: len(W) // 2], b[: len(W) // 2], scale, skip),
        lambda x, W, b, scale, _, skip: skip + scale * (x + 1) * torch.sigmoid(F.linear(x, W, b).chunk(2, -1)[0]),
    ),
    "glu": (
        lambda x, W, b, scale, _, skip: glu(x, W, b, scale, skip),
        lambda x, W, b, scale, _, skip: skip + scale * F.glu(F.linear(x, W, b)),
    ),
    "add_scaled": (
        lambda x, W, b, after, before, skip: sum_with_fork(x, b[: len(W) // 2], skip),
        lambda x, W, b, after, before, skip: x + b[: len(W) // 2] * skip + skip.square(),
    ),
}
each_function = pytest.mark.parametrize(("ours", "twin"), TWINS.values(), ids=TWINS)


def inputs_of(B, L, H, shared, seed, scale=1.0, dtype=torch.float32):
    """x, weight, bias, skip, and two factors, (B, 1, H) where shared along time."""
    draw = torch.Generator().manual_seed(seed)
    x, skip = torch.randn(2, B, L, H, generator=draw, dtype=dtype)
    W, b = torch.randn(2 * H, H, generator=draw, dtype=dtype) / H, torch.randn(2 * H, generator=draw, dtype=dtype)
    factors = (torch.rand(2, B, 1 if shared else L, H, generator=draw) < 0.7).to(dtype) / 0.7
    return scale * x, W, b, *factors, skip


def outputs_and_gradients(function, inputs, cotangent):
    x, W, b, after, before, skip = (t.to(cotangent.dtype) for t in inputs)
    trained = [t.clone().requires_grad_() for t in (x, W, b, skip)]
    y = function(*trained[:3], after, before, trained[3])
    gradients = torch.autograd.grad(y, trained, cotangent, allow_unused=True)
    return [y.detach(), *(g for g in gradients if g is not None)]


@each_function
@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 300), st.integers(1, 150)), shared=st.booleans(),
    scale=st.sampled_from([0.01, 1.0, 30.0]), seed=st.integers(0, 99),
)  # fmt: skip
def test_float32_equals_float64_torch(ours, twin, shape, shared, scale, seed):
    inputs = inputs_of(*shape, shared, seed, scale)
    cotangent = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    exact = outputs_and_gradients(twin, inputs, cotangent.double())
    for fast, slow in zip(outputs_and_gradients(ours, inputs, cotangent), exact, strict=True):
        # A sum over steps, as in a gradient of weights, carries the rounding of its largest terms.
        torch.testing.assert_close(fast.double(), slow, rtol=3e-6, atol=3e-6 * max(scale, 1, slow.abs().max()))


@each_function
def test_gradcheck_in_float64(ours, twin):
    x, W, b, after, before, skip = inputs_of(2, 3, 4, True, 0, dtype=torch.float64)
    trained = [t.requires_grad_() for t in (x, W, b, skip)]
    assert torch.autograd.gradcheck(lambda x, W, b, skip: ours(x, W, b, after, before, skip), trained)


@each_function
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_any_memory_order_is_read_right(ours, twin, backend):
    x, W, b, after, before, skip = inputs_of(6, 7, 5, False, 0)
    x, after, before, skip = (t.transpose(0, 1) for t in (x, after, before, skip))
    with running(backend):
        torch.testing.assert_close(ours(x, W, b, after, before, skip), twin(x, W, b, after, before, skip))


@each_function
def test_bfloat16_autocast_stays_near_float32(ours, twin):
    inputs = inputs_of(2, 40, 8, True, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = outputs_and_gradients(ours, inputs, torch.ones(2, 40, 8))
    for ours_low, exact in zip(low, outputs_and_gradients(twin, inputs, torch.ones(2, 40, 8)), strict=True):
        torch.testing.assert_close(ours_low.float(), exact, rtol=0, atol=0.02 * max(1, exact.abs().max()))


# Of x, weight, bias and skip under autocast, where a product's factors and results alone are rounded: ours and torch's.
ROUNDED = {
    "gated": (
        lambda x, W, b, skip: gated(x, x, W[:8], b[:8], skip=skip),
        lambda x, W, b, skip: skip + x * torch.sigmoid(F.linear(x, W[:8]).float() + b[:8]),
    ),
    "glu": (
        lambda x, W, b, skip: glu(x, W, b, skip=skip),
        lambda x, W, b, skip: skip + F.glu(F.linear(x, W).float() + b),
    ),
    "gelu_fork": (
        lambda x, W, b, skip: gelu_fork(x)[0] * skip + F.linear(gelu_fork(x)[1], W[:8]).float(),
        lambda x, W, b, skip: F.gelu(x, approximate="tanh") * skip + F.linear(F.gelu(x, approximate="tanh"), W[:8]),
    ),
    "scaled_fork": (
        lambda x, W, b, skip: add_scaled(F.linear((fork := scaled_fork(b[:8], x))[0], W[:8]), fork[1]),
        lambda x, W, b, skip: F.linear(x, W[:8]).float() + b[:8] * x,
    ),
}


@pytest.mark.parametrize(("ours", "twin"), ROUNDED.values(), ids=ROUNDED)
def test_bfloat16_autocast_rounds_factors_and_results_of_products_alone(ours, twin):
    x, W, b, _, _, skip = inputs_of(2, 300, 8, True, 0)
    results = []
    for function in (ours, twin):
        trained = [t.clone().requires_grad_() for t in (x, W, b, skip)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = function(*trained)
        assert y.dtype == torch.float32
        gradients = torch.autograd.grad(y, trained, torch.ones_like(y), allow_unused=True)
        results.append([y.detach(), *(g for g in gradients if g is not None)])
    for fast, slow in zip(*results, strict=True):
        # Most agree to float32's rounding; where that decides how bfloat16 rounds, one term is off by 1/256. Gradients
        # of biases are sums of what is rounded already.
        torch.testing.assert_close(fast, slow, rtol=0, atol=0.005 * max(1, slow.abs().max()))
        assert (fast - slow).abs().median() < (1e-6 if fast.dim() > 1 else 1e-4) * max(1, slow.abs().max())


@each_function
def test_a_gradient_that_all_steps_share_counts_at_each(ours, twin):
    inputs = inputs_of(2, 30, 5, True, 0)
    cotangent = torch.randn(2, 1, 5).expand(2, 30, 5)
    for fast, slow in zip(*(outputs_and_gradients(f, inputs, cotangent) for f in (ours, twin)), strict=True):
        torch.testing.assert_close(fast, slow)


def test_a_fork_of_bfloat16_meets_weights_in_float32():
    D, g = torch.randn(8), torch.randn(2, 5, 8)
    y, u = torch.randn(2, 2, 5, 8).bfloat16()
    results = []
    for inputs in ([D, u, y], [D.double(), u.double(), y.double()]):
        inputs = [t.clone().requires_grad_() for t in inputs]
        total = sum_with_fork(inputs[2], inputs[0], inputs[1])
        results.append([total, *torch.autograd.grad(total, inputs, g.to(total.dtype))])
    for low, exact in zip(*results, strict=True):
        assert (low - exact).abs().max() < 0.01 * exact.abs().max()


def test_without_factors_and_skip():
    x, W, b, *_ = inputs_of(2, 30, 4, True, 0)
    for exact in (True, False):
        torch.testing.assert_close(gelu(x, exact=exact), F.gelu(x, approximate="none" if exact else "tanh"))
    torch.testing.assert_close(glu(x, W, b), F.glu(F.linear(x, W, b)))
    torch.testing.assert_close(gated(x, x, W[:4], b[:4]), x * torch.sigmoid(F.linear(x, W[:4], b[:4])))


def test_extreme_inputs_saturate_and_a_nan_stays_one():
    gate, one = torch.tensor([[float("inf")], [1e4], [-1e4], [float("-inf")], [float("nan")], [0.0]]), torch.ones(1, 1)
    expected = torch.tensor([[1.0], [1.0], [0.0], [0.0], [float("nan")], [0.5]])
    torch.testing.assert_close(gated(torch.ones(6, 1), gate, one, torch.zeros(1)), expected, equal_nan=True)
    for exact in (True, False):
        x = torch.tensor([-50.0, 50.0, float("nan")], requires_grad=True)
        y = gelu(x, exact=exact)
        y.sum().backward()
        assert y[:2].tolist() == pytest.approx([0.0, 50.0], abs=1e-30)
        assert x.grad[:2].tolist() == pytest.approx([0.0, 1.0], abs=1e-30)
        assert y[2].isnan()
        assert x.grad[2].isnan()
