"""Diagonal systems from inputs to outputs in one kernel, against plain products around a plain loop."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import mimo_scan, one_kernel_is_faster
from longrange.kernels.mimo_scan import mimo_scan_reference
from tests.backends import needs_pairs, of_each_number_of_threads, running


@pytest.fixture(scope="module", autouse=True)
def amd():
    """Wide systems take the kernel, whatever this machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[mimo_scan.__module__], "is_amd", lambda: True)
        yield patch


def random_problem(batch, L, H, p, both, dtype=torch.float64, seed=0, radius=0.97):
    """A system of a given spectral radius and inputs, all wanting gradients, and a cotangent."""
    draw = torch.Generator().manual_seed(seed)
    angle = torch.rand(p, generator=draw, dtype=torch.float64) * 3
    A_bar = radius * torch.stack([angle.cos(), angle.sin()])
    shapes = (2 * p, H), (H, (1 + both) * 2 * p), (H,), (batch, L, H), (batch, L, H)
    *inputs, cotangent = (torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes)
    return [t.to(dtype).requires_grad_() for t in (A_bar, *inputs)], cotangent.to(dtype)


def outputs_and_gradients(inputs, cotangent, both, function=mimo_scan):
    y = function(*inputs, bidirectional=both)
    return [y.detach(), *torch.autograd.grad((y * cotangent).sum(), inputs)]


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    L=st.sampled_from([1, 2, 255, 256, 257, 600, 1100]),  # around the length of a segment
    H=st.sampled_from([16, 48]),
    p=st.sampled_from([8, 16, 24, 40]),
    both=st.booleans(),
    seed=st.integers(0, 99),
)
def test_cpu_equals_reference(batch, L, H, p, both, seed):
    inputs, cotangent = random_problem(batch, L, H, p, both, seed=seed)
    assert one_kernel_is_faster(inputs[0], inputs[-1])
    fast, slow = (outputs_and_gradients(inputs, cotangent, both, f) for f in (mimo_scan, mimo_scan_reference))
    for ours, twin in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("both", [False, True])
def test_gradcheck(both):
    inputs, _ = random_problem(2, 5, 16, 8, both)
    assert torch.autograd.gradcheck(lambda *arguments: mimo_scan(*arguments, bidirectional=both), inputs)


def test_a_system_for_which_products_are_faster_can_be_asked_for():
    inputs, cotangent = random_problem(2, 40, 1024, 136, True)
    assert not one_kernel_is_faster(inputs[0], inputs[-1])
    fast, slow = (outputs_and_gradients(inputs, cotangent, True, f) for f in (mimo_scan, mimo_scan_reference))
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("p", "H", "dtype"), [(12, 32, torch.float64), (8, 24, torch.float64), (8, 32, None)])
def test_other_sizes_and_precisions_take_the_plain_way(p, H, dtype):
    inputs, cotangent = random_problem(2, 40, H, p, True)
    u = inputs[-1] if dtype else inputs[-1].float()
    assert not one_kernel_is_faster(inputs[0], u)
    if dtype:
        fast, slow = (outputs_and_gradients(inputs, cotangent, True, f) for f in (mimo_scan, mimo_scan_reference))
        assert all(torch.equal(ours, twin) for ours, twin in zip(fast, slow, strict=True))


def test_only_the_cpu_kernel_is_faster_and_a_wide_one_where_it_was_measured(amd):
    narrow, wide = (random_problem(1, 4, 16, p, False, torch.float32)[0] for p in (16, 24))
    assert one_kernel_is_faster(wide[0], wide[-1])
    with running("reference"):
        assert not one_kernel_is_faster(narrow[0], narrow[-1])
    with amd.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(sys.modules[mimo_scan.__module__], "kernels_multiply", lambda dtype: dtype == torch.float32)
        assert one_kernel_is_faster(narrow[0], narrow[-1])
        assert not one_kernel_is_faster(wide[0], wide[-1])
    with amd.context() as patch:
        patch.setattr(sys.modules[mimo_scan.__module__], "is_amd", lambda: False)
        assert one_kernel_is_faster(narrow[0], narrow[-1])
        assert not one_kernel_is_faster(wide[0], wide[-1])


@needs_pairs
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("L", [1, 255, 257, 600])
def test_products_in_bfloat16_under_autocast(L, both):
    single, cotangent = random_problem(2, L, 48, 24, both, torch.float32)
    exact = [t.detach().double().requires_grad_() for t in single]
    with torch.autocast("cpu", torch.bfloat16):
        assert one_kernel_is_faster(single[0], single[-1])
        ours = outputs_and_gradients(single, cotangent, both)
    twins = outputs_and_gradients(exact, cotangent.double(), both, mimo_scan_reference)
    for our, twin in zip(ours, twins, strict=True):
        assert our.dtype == torch.float32
        assert (our - twin).norm() <= 0.01 * twin.norm()


@needs_pairs
def test_under_autocast_inputs_may_come_from_a_product():
    (*system, u), cotangent = random_problem(2, 300, 48, 24, True, torch.float32)
    narrow = u.detach().bfloat16().requires_grad_()
    assert not one_kernel_is_faster(system[0], narrow)
    with torch.autocast("cpu", torch.bfloat16):
        assert one_kernel_is_faster(system[0], narrow)
        ours, same = (outputs_and_gradients([*system, t], cotangent, True) for t in (narrow, narrow.float()))
    assert all(torch.equal(our, twin.to(our.dtype)) for our, twin in zip(ours, same, strict=True))
    assert (ours[0].dtype, ours[-1].dtype) == (torch.float32, torch.bfloat16)


def test_where_kernels_have_no_bfloat16_a_narrow_system_keeps_its_precision_under_autocast(amd):
    inputs, cotangent = random_problem(2, 300, 16, 8, True, torch.float32)
    exact = outputs_and_gradients(inputs, cotangent, True)
    with amd.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(sys.modules[mimo_scan.__module__], "kernels_multiply", lambda dtype: dtype == torch.float32)
        ours = outputs_and_gradients(inputs, cotangent, True)
    assert all(torch.equal(our, same) for our, same in zip(ours, exact, strict=True))


@pytest.mark.parametrize("both", [False, True])
def test_float32_keeps_long_memories(both):
    single, cotangent = random_problem(1, 16384, 16, 8, both, torch.float32, radius=0.9995)
    exact = [t.detach().double().requires_grad_() for t in single]
    ours, twins = outputs_and_gradients(single, cotangent, both), outputs_and_gradients(exact, cotangent.double(), both)
    for our, twin in zip(ours, twins, strict=True):
        assert our.dtype == torch.float32
        assert (our - twin).abs().max() < 3e-6 * twin.abs().max()  # a step's rounding lives as long as a state's memory


def test_a_nan_stays_in_its_sequence_and_after_its_step():
    inputs, cotangent = random_problem(2, 1100, 16, 8, False)
    inputs[-1].data[1, 600, 3] = float("nan")
    y, *_, grad_u = outputs_and_gradients(inputs, cotangent, False)
    assert y[1, 600:].isnan().all()
    assert y[1, :600].isfinite().all()
    assert y[0].isfinite().all()
    assert grad_u.isfinite().all()


def test_tensors_in_another_memory_order_are_read_right():
    inputs, cotangent = random_problem(3, 40, 16, 8, True)
    strided = [t.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_() for t in inputs]
    ours = outputs_and_gradients(strided, cotangent.transpose(0, 1).contiguous().transpose(0, 1), True)
    for our, twin in zip(ours, outputs_and_gradients(inputs, cotangent, True), strict=True):
        torch.testing.assert_close(our, twin)


def test_the_number_of_threads_changes_no_bit():
    problem = random_problem(3, 1100, 48, 8, True, torch.float32)
    results = of_each_number_of_threads(lambda: outputs_and_gradients(*problem, True))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))
