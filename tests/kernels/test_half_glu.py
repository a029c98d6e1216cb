"""S5's activation in one kernel against torch's own functions in double precision, and where it steps aside."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from longrange.kernels import half_glu, half_glu_cpu
from longrange.kernels.operations import told_products
from tests.backends import of_each_number_of_threads, running


@pytest.fixture(scope="module", autouse=True)
def amd():
    """The kernel runs, whatever this machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[half_glu.__module__], "is_amd", lambda: True)
        yield patch


@pytest.fixture
def kernel_calls(monkeypatch):
    """How often the kernel has been called, by the length of the list."""
    calls, kernel = [], half_glu_cpu.half_glu
    monkeypatch.setattr(half_glu_cpu, "half_glu", lambda *arguments: calls.append(1) or kernel(*arguments))
    return calls


def twin(x, W, b, skip, after, scale, of_gelu):
    """The formula."""
    g = F.gelu(x, approximate="tanh")
    g = g if after is None else after * g
    y = (g if of_gelu else x) * torch.sigmoid(F.linear(g, W, b))
    return skip + (y if scale is None else scale * y)


def inputs_of(B, L, H, factors, seed=0, size=1.0):
    """x, weight, bias, skip and two factors: along "time" (B, 1, H), for "each" step, or none of them."""
    draw = torch.Generator().manual_seed(seed)
    x, skip = torch.randn(2, B, L, H, generator=draw)
    W, b = torch.randn(H, H, generator=draw) / H**0.5, torch.randn(H, generator=draw)
    if factors is None:
        return size * x, W, b, skip, None, None
    steps = 1 if factors == "time" else L
    return size * x, W, b, skip, *(torch.rand(2, B, steps, H, generator=draw) < 0.7).float() / 0.7


def outputs_and_gradients(function, inputs, cotangent, of_gelu):
    trained = [t.to(cotangent.dtype).clone().requires_grad_() for t in inputs[:4]]
    factors = [None if t is None else t.to(cotangent.dtype) for t in inputs[4:]]
    y = function(*trained, *factors, of_gelu=of_gelu)
    return [y.detach(), *torch.autograd.grad(y, trained, cotangent.expand_as(y))]


def assert_close(fast, slow):
    """Each within 1e-5 of the largest value."""
    for ours, exact in zip(fast, slow, strict=True):
        assert (ours - exact).abs().max() <= 1e-5 * (1 + exact.abs().max())


@settings(max_examples=40, deadline=None)
@given(
    B=st.integers(1, 3),
    L=st.sampled_from([64, 127, 128, 129, 256, 300]),  # around whole tiles
    H=st.sampled_from([16, 48]),
    factors=st.sampled_from([None, "time", "each"]),
    of_gelu=st.booleans(),
    size=st.sampled_from([0.01, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_kernel_equals_torch(B, L, H, factors, of_gelu, size, seed):
    inputs = inputs_of(B, L, H, factors, seed, size)
    cotangent = torch.randn(B, L, H, generator=torch.Generator().manual_seed(seed + 1))
    fast = outputs_and_gradients(half_glu, inputs, cotangent, of_gelu)
    slow = outputs_and_gradients(twin, inputs, cotangent.double(), of_gelu)
    assert_close(fast, slow)


@pytest.mark.parametrize("of_gelu", [False, True])
def test_many_tasks_and_any_number_of_threads(of_gelu):
    inputs, cotangent = inputs_of(5, 1500, 16, "time"), torch.randn(5, 1500, 16)
    assert half_glu_cpu.tiles_of_a_task(5 * 12) < 5 * 12  # so that sums of several tasks are added up
    one, two = of_each_number_of_threads(lambda: outputs_and_gradients(half_glu, inputs, cotangent, of_gelu))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    slow = outputs_and_gradients(twin, inputs, cotangent.double(), of_gelu)
    assert_close(one, slow)


def test_gradient_of_a_mean_over_time_and_strided_inputs():
    inputs, cotangent = inputs_of(2, 300, 16, "time"), torch.randn(2, 1, 16)
    spread = [torch.stack([inputs[0], inputs[0]], -1)[..., 0], *inputs[1:]]  # each value 2 from the next
    fast, slow = (outputs_and_gradients(half_glu, t, cotangent, True) for t in (spread, inputs))
    torch.testing.assert_close(fast, slow, rtol=0, atol=0)
    theirs = outputs_and_gradients(twin, inputs, cotangent.double(), True)
    assert_close(fast, theirs)


def test_nan_and_infinity_are_not_hidden():
    inputs = inputs_of(1, 300, 16, None)
    inputs[0][0, 7, 3] = torch.nan
    inputs[0][0, 9, 3] = torch.inf
    y = half_glu(*inputs, of_gelu=True)
    assert y[0, 7].isnan().all()  # the product spreads it over the step's features
    assert not y[0, 9].isfinite().all()
    assert y[0, 10:].isfinite().all()


@pytest.mark.parametrize(
    ("shape", "change"),
    [((2, 300, 24), None), ((8, 63, 16), None), ((2, 300, 16), torch.float64), ((2, 300, 16), torch.bfloat16)],
    ids=["part of a register", "few steps", "double", "half"],
)
def test_others_take_the_functions_one_by_one(shape, change, kernel_calls):
    inputs = [t if change is None or t is None else t.to(change) for t in inputs_of(*shape, None)]
    y = half_glu(*inputs, of_gelu=True)
    tolerance = 0.05 if change == torch.bfloat16 else 1e-5
    torch.testing.assert_close(y.double(), twin(*inputs, True).double(), rtol=tolerance, atol=tolerance)
    assert not kernel_calls


def test_autocast_other_backends_and_other_processors_take_them_too(amd, kernel_calls):
    inputs = inputs_of(2, 300, 16, None)
    fast = half_glu(*inputs, of_gelu=True)
    assert len(kernel_calls) == 1
    with running("reference"):
        slow = half_glu(*inputs, of_gelu=True)
    with torch.autocast("cpu", torch.bfloat16):
        rough = half_glu(*inputs, of_gelu=True)
    with amd.context() as patch:
        patch.setattr(sys.modules[half_glu.__module__], "is_amd", lambda: False)
        other = half_glu(*inputs, of_gelu=True)
    assert len(kernel_calls) == 1
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fast, other, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fast, rough.float(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("which", range(1, 6))
def test_shapes_that_do_not_fit_are_refused(which):
    inputs = list(inputs_of(2, 300, 16, "each"))
    inputs[which] = inputs[which][..., :-1]
    with pytest.raises(ValueError, match=r"do not fit each other: x \(2, 300, 16\), weight"):
        half_glu(*inputs, of_gelu=True)


def test_products_are_counted():
    told, inputs = [], inputs_of(2, 300, 16, None)
    x = inputs[0].requires_grad_()
    with told_products(lambda operations, dtype: told.append(operations)):
        half_glu(x, *inputs[1:], of_gelu=True).sum().backward()
    assert told == [2 * x.numel() * 16, 4 * x.numel() * 16]
