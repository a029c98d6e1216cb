"""The matrices of a discretised diagonal system: the fast versions against plain torch, outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import diagonal_system
from tests.backends import agree, each_device, interpreted, running

each_fast = pytest.mark.parametrize("version", ["cpu", pytest.param("triton", marks=interpreted)])
each_rule = pytest.mark.parametrize("rule", ["zoh", "bilinear"])


def parameters(p, H, directions, seed, dtype=torch.float64, smallest=-8.0):
    draw = torch.Generator().manual_seed(seed)
    real, imaginary = -torch.rand(p, generator=draw, dtype=dtype), 100 * torch.randn(p, generator=draw, dtype=dtype)
    dt = torch.exp(smallest * torch.rand(p, generator=draw, dtype=dtype))
    B, C = (torch.randn(*shape, 2, generator=draw, dtype=dtype) for shape in ((p, H), (H, directions * p)))
    return [t.requires_grad_() for t in (real, imaginary, dt, B, C)]


def outputs_and_gradients(backend, rule, inputs, gain):
    with running(backend):
        outputs = diagonal_system(rule, *inputs, gain)
    cotangents = [torch.randn(t.shape, generator=torch.Generator().manual_seed(1)).to(t) for t in outputs]
    return [*outputs, *torch.autograd.grad(outputs, inputs, cotangents)]


@each_rule
@settings(max_examples=25, deadline=None)
@given(
    p=st.integers(1, 20), H=st.integers(1, 40), directions=st.integers(1, 2), gain=st.sampled_from([1.0, 2.0]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_cpu_equals_reference(rule, p, H, directions, gain, seed):
    inputs = parameters(p, H, directions, seed)
    for fast, slow in zip(*(outputs_and_gradients(b, rule, inputs, gain) for b in ("cpu", "reference")), strict=True):
        assert fast.shape == slow.shape
        torch.testing.assert_close(fast, slow, rtol=1e-8, atol=1e-8)


@each_rule
@each_device
@pytest.mark.parametrize(("p", "H", "directions"), [(1, 1, 1), (20, 5, 2), (7, 130, 1), (8, 64, 2)])
def test_triton_equals_reference(rule, p, H, directions, device, dtype, tolerance):
    def joined(*inputs):
        return torch.cat([t.flatten() for t in diagonal_system(rule, *inputs, 2.0)])

    inputs = [t.detach() for t in parameters(p, H, directions, seed=p)]
    agree(joined, inputs, device, dtype, tolerance)


@interpreted
def test_triton_reads_tensors_in_any_memory_order():
    inputs = parameters(5, 6, 2, 0)
    strided = [t.detach().movedim(0, -1).contiguous().movedim(-1, 0).requires_grad_() for t in inputs]
    results = outputs_and_gradients("triton", "zoh", strided, 2.0), outputs_and_gradients("triton", "zoh", inputs, 2.0)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@each_rule
@each_fast
def test_gradcheck(rule, version):
    with running(version):
        assert torch.autograd.gradcheck(lambda *inputs: diagonal_system(rule, *inputs, 2.0), parameters(3, 4, 2, 0))


@each_rule
@each_fast
def test_float32_is_near_float64_for_the_smallest_steps(rule, version):
    """Where A_bar is near 1 and its difference from 1 would cancel."""
    inputs = parameters(30, 5, 2, 0, smallest=-20.0)
    single = [t.detach().float().requires_grad_() for t in inputs]
    results = [outputs_and_gradients(version, rule, precision, 2.0) for precision in (single, inputs)]
    for low, exact in zip(*results, strict=True):
        assert (low - exact).norm() < 1e-5 * exact.norm()


@each_fast
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize(("rule", "pole"), [("zoh", 0.0), ("bilinear", 2.0)])
def test_a_pole_that_the_rule_excludes_spoils_its_own_state_alone(rule, pole, version):
    inputs = parameters(3, 4, 1, 0)
    with torch.no_grad():
        inputs[0][1], inputs[1][1], inputs[2][1] = pole, 0.0, 1.0
    fast, slow = (outputs_and_gradients(backend, rule, inputs, 2.0) for backend in (version, "reference"))
    for one, other in zip(fast, slow, strict=True):
        others = other.isfinite()
        torch.testing.assert_close(one[others], other[others])
    assert not any(B_bar.unflatten(0, (2, -1))[:, 1].isfinite().any() for _, B_bar, *_ in (fast, slow))
