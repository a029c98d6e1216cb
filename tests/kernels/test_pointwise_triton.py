"""GELU, gates and D u in Triton against torch's functions: interpreted on the CPU, compiled where there is a GPU."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import pointwise_triton
from longrange.kernels.pointwise import add_scaled, gated, gelu, glu, scaled_fork
from tests.backends import agree, each_device, gpu_only, interpreted, running, with_gradients

# Functions of x (B, L, H), weight (2 H, H), bias (2 H,) and skip (B, L, H), with two factors.
FUNCTIONS = {
    "gelu": lambda x, W, b, skip, after, before: gelu(x, after, before),
    "exact_gelu": lambda x, W, b, skip, after, before: gelu(x, after, before, exact=True),
    "gelu_alone": lambda x, W, b, skip, after, before: gelu(x),
    "gated": lambda x, W, b, skip, scale, _: gated(x + 1, x, W[::2], b[::2], scale, skip),
    "gated_alone": lambda x, W, b, skip, scale, _: gated(skip, x, W[::2], b[::2]),
    "glu": lambda x, W, b, skip, scale, _: glu(x, W, b, scale, skip),
    "glu_alone": lambda x, W, b, skip, scale, _: glu(x, W, b),
    "add_scaled": lambda x, W, b, skip, after, before: add_scaled(x, scaled_fork(b[::2], skip)[1]),
}
each_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


def problem(B, L, H, shared=(False, False), seed=0):
    """x, weight, bias and skip; two factors shared along batch and time as told. All float64."""
    draw = torch.Generator().manual_seed(seed)
    x, skip = torch.randn(2, B, L, H, generator=draw).double()
    W, b = torch.randn(2 * H, H, generator=draw).double() / H, torch.randn(2 * H, generator=draw).double()
    batch, length = (1 if alone else size for alone, size in zip(shared, (B, L), strict=True))
    factors = (torch.rand(2, batch, length, H, generator=draw) < 0.7).double() / 0.7
    return (x, W, b, skip), factors


def used(function, inputs, factors):
    """The function of those inputs alone that it depends on, and these inputs."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    gradients = torch.autograd.grad(function(*inputs, *factors).sum(), inputs, allow_unused=True)
    places = [i for i, gradient in enumerate(gradients) if gradient is not None]

    def reduced(*given):
        every = [t.detach().to(given[0]) for t in inputs]
        for i, t in zip(places, given, strict=True):
            every[i] = t
        return function(*every, *factors.to(given[0]))

    return reduced, [inputs[i].detach() for i in places]


@each_device
@each_function
@settings(max_examples=8, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 80)),
    shared=st.tuples(st.booleans(), st.booleans()), seed=st.integers(0, 99),
)  # fmt: skip
def test_equals_torch(function, device, dtype, tolerance, shape, shared, seed):
    agree(*used(function, *problem(*shape, shared, seed)), device, dtype, tolerance)


@each_device
@each_function
def test_several_programs_along_time_and_features(function, device, dtype, tolerance):
    agree(*used(function, *problem(2, 100, 130)), device, dtype, tolerance)
    agree(*used(function, *problem(1, 3000, 1)), device, dtype, tolerance)


@interpreted
@each_function
def test_gradcheck_in_float64(function):
    reduced, inputs = used(function, *problem(1, 3, 2))
    with running("triton"):
        assert torch.autograd.gradcheck(reduced, [t.requires_grad_() for t in inputs])


@each_device
@each_function
def test_any_memory_order_is_read_right(function, device, dtype, tolerance):
    reduced, inputs = used(function, *problem(6, 7, 5))
    agree(reduced, [t.mT.contiguous().mT if t.dim() > 1 else t for t in inputs], device, dtype, tolerance)


def mixed_inputs(device):
    """As under autocast to bfloat16: values from a projection, and what a residual sum of wider values needs."""
    (x, _, b, skip), (scale, _) = problem(2, 40, 8, (False, True))
    return x.to(device, torch.bfloat16), b.to(device).float(), scale.to(device).float(), skip.to(device).float()


@each_device
def test_precisions_may_differ(device, dtype, tolerance):
    """Outputs as wide as the widest tensor, gradients as their tensors, all of them right to bfloat16's rounding."""
    x, b, scale, skip = mixed_inputs(device)
    wide, grad = x.float(), skip + 1
    z, wide_z = torch.cat([x, -x], -1), torch.cat([wide, -wide], -1)
    half = b[:8]
    cases = [
        (pointwise_triton.gelu, (x, None, scale, True), (wide, None, scale, True), ["float32"]),
        (pointwise_triton.gelu, (x, None, None, False), (wide, None, None, False), ["bfloat16"]),
        (
            pointwise_triton.gelu_backward, (x, None, scale, True, grad, x, skip),
            (wide, None, scale, True, grad, wide, skip),
            ["bfloat16"],
        ),
        (pointwise_triton.gated, (skip, x, half, scale, x), (skip, wide, half, scale, wide), ["float32"]),
        (pointwise_triton.gated, (x, x, half, None, None), (wide, wide, half, None, None), ["bfloat16"]),
        (
            pointwise_triton.gated_backward, (skip, x, half, scale, grad), (skip, wide, half, scale, grad),
            ["float32", "bfloat16", "float32"],
        ),
        (pointwise_triton.glu, (z, b, scale, skip), (wide_z, b, scale, skip), ["float32"]),
        (pointwise_triton.glu_backward, (z, b, scale, grad), (wide_z, b, scale, grad), ["bfloat16", "float32"]),
        (pointwise_triton.scaled_backward, (half, x, grad, x), (half, wide, grad, wide), ["float32", "bfloat16"]),
    ]  # fmt: skip
    for function, given_, widened, dtypes in cases:
        ours, exact = function(*given_), function(*widened)
        pairs = zip(*((t,) if isinstance(t, torch.Tensor) else t for t in (ours, exact)), dtypes, strict=True)
        for a, b_, name in pairs:
            assert str(a.dtype) == f"torch.{name}"
            torch.testing.assert_close(a.float(), b_, rtol=8e-3 if name == "bfloat16" else 2e-6, atol=1e-6)


@each_device
@each_function
def test_bfloat16_autocast_gives_the_references_precision(function, device, dtype, tolerance):
    reduced, inputs = used(function, *problem(2, 40, 8, (False, True)))
    inputs = [t.to(device).float() for t in inputs]
    results = []
    for version in ("triton", "reference"):
        with torch.autocast(device, dtype=torch.bfloat16):
            results.append(with_gradients(reduced, inputs, torch.ones(2, 40, 8, device=device), version))
    for ours, twin in zip(*results, strict=True):
        assert ours.dtype == twin.dtype
        assert (ours.float() - twin.float()).abs().max() <= 0.02 * (1 + twin.abs().max())


@each_device
@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # of the interpreter; it is what saturates
def test_extreme_inputs_saturate_and_a_nan_stays_one(device, dtype, tolerance):
    gate = torch.tensor([[float("inf")], [1e4], [-1e4], [float("-inf")], [float("nan")], [0.0]]).to(device, dtype)
    one = gate.new_ones(1, 1)
    with running("triton"):
        y = gated(one.expand(6, 1), gate, one, gate.new_zeros(1))
        torch.testing.assert_close(y[:, 0].tolist(), [1.0, 1.0, 0.0, 0.0, float("nan"), 0.5], equal_nan=True)
        for exact in (True, False):
            x = torch.tensor([-50.0, 50.0, float("nan")]).to(device, dtype).requires_grad_()
            y = gelu(x, exact=exact)
            y.sum().backward()
            assert y[:2].tolist() == pytest.approx([0.0, 50.0], abs=1e-30)
            assert x.grad[:2].tolist() == pytest.approx([0.0, 1.0], abs=1e-30)
            assert y[2].isnan()
            assert x.grad[2].isnan()


@gpu_only
@each_function
def test_long_batches_on_a_gpu_repeat_bit_by_bit(function):
    (x, W, b, skip), factors = problem(8, 5000, 192, (False, True))
    reduced, inputs = used(function, (x, W, b, skip), factors)
    agree(reduced, inputs, "cuda", torch.float32, 1e-4)
    single = [t.cuda().float() for t in inputs]
    runs = [with_gradients(reduced, single, skip.cuda().float(), "triton") for _ in range(2)]
    assert all(torch.equal(ours, again) for ours, again in zip(*runs, strict=True))
