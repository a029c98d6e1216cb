"""Activations in one kernel against torch's own functions in double precision, and where they step aside."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from longrange.kernels import half_glu, half_glu_cpu, mixed_glu, mixed_glu_cpu, tiles
from longrange.kernels.numba_tools import tiles_of_a_task
from longrange.kernels.operations import told_products
from tests.backends import needs_pairs, of_each_number_of_threads, running


@dataclass(frozen=True)
class Case:
    """An activation: fast and slow, of x, weight, bias, skip and factors; its compiled module; sizes for H features."""

    fast: Callable[..., Tensor]
    slow: Callable[..., Tensor]
    module: ModuleType
    d_input: Callable[[int], int]  # of x
    gates: int  # rows of the weight in H
    of_input: tuple[bool, ...]  # for each factor, whether it is one of x, not of y

    def inputs(self, B, L, H, factors=None, seed=0, size=1.0):
        """x, weight, bias and skip; and factors along "time" (B, 1, H), for "each" step, or none."""
        draw, K = torch.Generator().manual_seed(seed), self.d_input(H)
        x, skip = size * torch.randn(B, L, K, generator=draw), torch.randn(B, L, H, generator=draw)
        W = torch.randn(self.gates * H, K, generator=draw) / K**0.5
        b = torch.randn(self.gates * H, generator=draw)
        steps, widths = 1 if factors == "time" else L, [K if of_input else H for of_input in self.of_input]
        drawn = [(torch.rand(B, steps, n, generator=draw) < 0.7).float() / 0.7 for n in widths]
        return [x, W, b, skip, *(drawn if factors else [None] * len(widths))]


def half_slow(x, W, b, skip, after, scale, of_gelu):
    """The formula of `half_glu`."""
    g = times(after, F.gelu(x, approximate="tanh"))
    return skip + times(scale, (g if of_gelu else x) * torch.sigmoid(F.linear(g, W, b)))


def mixed_slow(x, W, b, skip, before, after, scale):
    """The formula of `mixed_glu`."""
    value, gate = F.linear(times(after, F.gelu(times(before, x))), W, b).chunk(2, -1)
    return skip + times(scale, value * torch.sigmoid(gate))


def times(factor, x):
    return x if factor is None else factor * x


def half(of_gelu):
    functions = partial(half_glu, of_gelu=of_gelu), partial(half_slow, of_gelu=of_gelu)
    return Case(*functions, half_glu_cpu, lambda H: H, 1, (True, False))


CASES = {
    "half_glu1": half(True),
    "half_glu2": half(False),
    "glu": Case(mixed_glu, mixed_slow, mixed_glu_cpu, lambda H: H, 2, (True, True, False)),
    "glu of two channels": Case(mixed_glu, mixed_slow, mixed_glu_cpu, lambda H: 2 * H, 2, (True, True, False)),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module", autouse=True)
def amd():
    """The kernels run, whatever this machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "is_amd", lambda: True)
        yield patch


@pytest.fixture
def kernel_calls(monkeypatch, case):
    """How often the kernel has been called, by the length of the list."""
    calls, name = [], case.module.__name__.rpartition(".")[2].removesuffix("_cpu")
    kernel = getattr(case.module, name)
    monkeypatch.setattr(case.module, name, lambda *arguments: calls.append(1) or kernel(*arguments))
    return calls


def outputs_and_gradients(function, inputs, cotangent):
    """In the cotangent's precision; gradients of all but the factors."""
    inputs = [None if t is None else t.to(cotangent.dtype).clone() for t in inputs]
    trained = [t.requires_grad_() for t in inputs[:4]]
    y = function(*inputs)
    return [y.detach(), *torch.autograd.grad(y, trained, cotangent.expand_as(y))]


def assert_close(fast, slow):
    """Each within 1e-5 of the largest value."""
    for ours, exact in zip(fast, slow, strict=True):
        assert (ours - exact).abs().max() <= 1e-5 * (1 + exact.abs().max())


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=20, deadline=None)
@given(
    B=st.integers(1, 3),
    L=st.sampled_from([64, 127, 128, 129, 256, 300]),  # around whole tiles
    H=st.sampled_from([16, 48]),
    factors=st.sampled_from([None, "time", "each"]),
    size=st.sampled_from([0.01, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_kernel_equals_torch(name, B, L, H, factors, size, seed):
    case = CASES[name]
    inputs = case.inputs(B, L, H, factors, seed, size)
    cotangent = torch.randn(B, L, H, generator=torch.Generator().manual_seed(seed + 1))
    fast = outputs_and_gradients(case.fast, inputs, cotangent)
    assert_close(fast, outputs_and_gradients(case.slow, inputs, cotangent.double()))


def test_many_tasks_and_any_number_of_threads(case):
    inputs, cotangent = case.inputs(5, 1500, 16, "time"), torch.randn(5, 1500, 16)
    assert tiles_of_a_task(5 * 12) < 5 * 12  # so that sums of several tasks are added up
    one, two = of_each_number_of_threads(lambda: outputs_and_gradients(case.fast, inputs, cotangent))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert_close(one, outputs_and_gradients(case.slow, inputs, cotangent.double()))


def test_gradient_of_a_mean_over_time_and_strided_inputs(case):
    inputs, cotangent = case.inputs(2, 300, 16, "time"), torch.randn(2, 1, 16)
    spread = [torch.stack([inputs[0], inputs[0]], -1)[..., 0], *inputs[1:]]  # each value 2 from the next
    fast, slow = (outputs_and_gradients(case.fast, t, cotangent) for t in (spread, inputs))
    torch.testing.assert_close(fast, slow, rtol=0, atol=0)
    assert_close(fast, outputs_and_gradients(case.slow, inputs, cotangent.double()))


def test_nan_and_infinity_are_not_hidden(case):
    inputs = case.inputs(1, 300, 16)
    inputs[0][0, 7, 3] = torch.nan
    inputs[0][0, 9, 3] = torch.inf
    y = case.fast(*inputs)
    assert y[0, 7].isnan().all()  # the product spreads it over the step's features
    assert not y[0, 9].isfinite().all()
    assert y[0, 10:].isfinite().all()


@pytest.mark.parametrize(
    ("shape", "change"),
    [((2, 300, 24), None), ((8, 63, 16), None), ((2, 300, 16), torch.float64), ((2, 300, 16), torch.bfloat16)],
    ids=["part of a register", "few steps", "double", "half"],
)
def test_others_take_the_functions_one_by_one(case, shape, change, kernel_calls):
    inputs = [t if change is None or t is None else t.to(change) for t in case.inputs(*shape)]
    y = case.fast(*inputs)
    tolerance = 0.05 if change == torch.bfloat16 else 1e-5
    torch.testing.assert_close(y.double(), case.slow(*inputs).double(), rtol=tolerance, atol=tolerance)
    assert not kernel_calls


def test_other_backends_and_other_processors_take_them_too(amd, case, kernel_calls):
    inputs = case.inputs(2, 300, 16)
    fast = case.fast(*inputs)
    assert len(kernel_calls) == 1
    with running("reference"):
        slow = case.fast(*inputs)
    with amd.context() as patch:
        patch.setattr(tiles, "is_amd", lambda: False)
        other = case.fast(*inputs)
    with amd.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(tiles, "kernels_multiply", lambda dtype: dtype == torch.float32)
        rough = case.fast(*inputs)
    assert len(kernel_calls) == 1
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fast, other, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fast, rough.float(), rtol=0.05, atol=0.05)


@needs_pairs
@pytest.mark.parametrize("L", [64, 255, 256, 257, 600])  # around whole tiles, which are longer than in float32
def test_products_in_bfloat16_under_autocast(case, L, kernel_calls):
    inputs, cotangent = case.inputs(3, L, 48, "time"), torch.randn(3, L, 48)
    with torch.autocast("cpu", torch.bfloat16):
        fast = outputs_and_gradients(case.fast, inputs, cotangent)
    assert len(kernel_calls) == 1
    for ours, exact in zip(fast, outputs_and_gradients(case.slow, inputs, cotangent.double()), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - exact).norm() <= 0.01 * exact.norm()
    with rounded_factors():
        y = case.slow(*inputs)
    assert (fast[0] - y).norm() <= 1e-4 * y.norm()  # a GELU between two bfloat16 may become the other one


@needs_pairs
@pytest.mark.parametrize("which", [0, 3], ids=["x", "skip"])
def test_under_autocast_inputs_may_come_from_a_product(case, which, kernel_calls):
    inputs, cotangent = case.inputs(2, 300, 16), torch.randn(2, 300, 16)
    wide, narrow = list(inputs), list(inputs)
    narrow[which] = inputs[which].bfloat16().requires_grad_()
    wide[which] = narrow[which].float()
    with torch.autocast("cpu", torch.bfloat16):
        ours, same = case.fast(*narrow), case.fast(*wide)
    assert len(kernel_calls) == 2
    assert torch.equal(ours, same)
    grads = [torch.autograd.grad(y, narrow[which], cotangent)[0] for y in (ours, same)]
    assert torch.equal(*grads)
    assert grads[0].abs().max() > 0
    x, W, b, skip, *factors = narrow
    assert not tiles.goes_in_tiles(x, skip, W, b, *factors)  # without autocast nothing says that products may be rough


@contextmanager
def rounded_factors():
    """F.linear rounds its factors to bfloat16, and nothing else."""
    whole = F.linear

    def rounded(x, W, b):
        return whole(*(t.bfloat16().double() for t in (x, W)), b.double())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "linear", rounded)
        yield


@needs_pairs
def test_bfloat16_too_gives_the_same_for_any_number_of_threads(case):
    inputs, cotangent = case.inputs(5, 2500, 16, "time"), torch.randn(5, 2500, 16)
    assert tiles_of_a_task(5 * 10) < 5 * 10
    with torch.autocast("cpu", torch.bfloat16):
        one, two = of_each_number_of_threads(lambda: outputs_and_gradients(case.fast, inputs, cotangent))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("which", range(1, 6))
def test_shapes_that_do_not_fit_are_refused(case, which):
    inputs = case.inputs(2, 300, 16, "each")
    inputs[which] = inputs[which][..., :-1]
    with pytest.raises(ValueError, match=rf"do not fit each other: x \(2, 300, {case.d_input(16)}\), weight"):
        case.fast(*inputs)


def test_products_are_counted(case):
    told, (x, W, *others) = [], case.inputs(2, 300, 16)
    with told_products(lambda operations, dtype: told.append(operations)):
        case.fast(x.requires_grad_(), W, *others).sum().backward()
    assert told == [2 * x.numel() * len(W), 4 * x.numel() * len(W)]
