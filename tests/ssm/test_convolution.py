"""Convolutions by transforms against direct sums, outputs and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.ssm import causal_convolution, two_sided_convolution
from tests.paths import GOLDEN


def direct_sum(u, K, K_back=None):
    """The definition, one lag at a time."""
    L = u.shape[1]
    y = u.new_zeros(*u.shape[:2], len(K), u.shape[2])
    for j in range(min(L, K.shape[-1])):
        y[:, j:] += K[:, :, j] * u[:, : L - j, None]
    for j in range(0 if K_back is None else min(L - 1, K_back.shape[-1])):
        y[:, : L - 1 - j] += K_back[:, :, j] * u[:, j + 1 :, None]
    return y


def random_problem(B, L, H, M, *lengths, seed=0):
    """An input, kernels of the given lengths, and a cotangent for the output."""
    draw = torch.Generator().manual_seed(seed)
    shapes = [(B, L, H), *((M, H, length) for length in lengths)]
    inputs = [torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes]
    return inputs, torch.randn(B, L, M, H, generator=draw, dtype=torch.float64)


def assert_same(fast, slow, inputs, cotangent):
    fast, slow = fast(*inputs), slow(*inputs)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    gradients = (torch.autograd.grad(y, inputs, cotangent, materialize_grads=True) for y in (fast, slow))
    for ours, twin in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-10, atol=1e-10)


SIZES = {"B": st.integers(1, 3), "L": st.integers(1, 40), "H": st.integers(1, 3), "M": st.integers(1, 3)}


@settings(max_examples=40, deadline=None)
@given(**SIZES, L_K=st.integers(1, 60), seed=st.integers(0, 99))
def test_causal_equals_the_direct_sum(B, L, H, M, L_K, seed):
    assert_same(causal_convolution, direct_sum, *random_problem(B, L, H, M, L_K, seed=seed))


@settings(max_examples=40, deadline=None)
@given(**SIZES, L_K=st.integers(1, 60), L_back=st.integers(1, 60), seed=st.integers(0, 99))
def test_two_sided_equals_the_direct_sum(B, L, H, M, L_K, L_back, seed):
    assert_same(two_sided_convolution, direct_sum, *random_problem(B, L, H, M, L_K, L_back, seed=seed))


@pytest.mark.parametrize("M", [1, 2])
def test_gradcheck(M):
    inputs, _ = random_problem(2, 5, 2, M, 4, 3)
    assert torch.autograd.gradcheck(two_sided_convolution, inputs)


@pytest.mark.parametrize("wanted", [0, 1])
def test_the_gradient_of_one_argument_alone(wanted):
    inputs, cotangent = random_problem(2, 6, 3, 2, 6)
    both = torch.autograd.grad(causal_convolution(*inputs), inputs, cotangent)
    inputs[1 - wanted] = inputs[1 - wanted].detach()
    (alone,) = torch.autograd.grad(causal_convolution(*inputs), inputs[wanted], cotangent)
    torch.testing.assert_close(alone, both[wanted])


def test_the_future_does_not_reach_the_past():
    (u, K), _ = random_problem(1, 50, 2, 1, 50)
    changed = u.detach().clone()
    changed[:, 30:] = 1e3
    torch.testing.assert_close(
        causal_convolution(changed, K)[:, :30], causal_convolution(u, K)[:, :30], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("i", [0, 1, 2, 3])
def test_equals_the_authors_output(i):
    golden = np.load(GOLDEN / f"s4_dplr_{i}.npz")
    y = causal_convolution(torch.from_numpy(golden["u"]).transpose(1, 2), torch.from_numpy(golden["K"]))
    expected = torch.from_numpy(golden["y_causal"]).permute(1, 3, 0, 2)
    assert (y - expected).abs().max() < 1e-5 * expected.abs().max()


def test_under_autocast_half_precision_inputs_meet_a_float32_kernel():
    (u, K), cotangent = random_problem(2, 33, 3, 1, 33)
    low = u.detach().bfloat16().requires_grad_()
    single = K.detach().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = causal_convolution(low, single)
    assert y.dtype == torch.float32
    exact = causal_convolution(low.detach().double(), K)
    assert (y - exact).abs().max() < 1e-5 * exact.abs().max()
    grad_u, grad_K = torch.autograd.grad(y, [low, single], cotangent.float())
    assert (grad_u.dtype, grad_K.dtype) == (torch.bfloat16, torch.float32)


def test_the_result_is_contiguous_and_its_channels_flatten_one_after_the_other():
    (u, K), _ = random_problem(2, 7, 3, 2, 7)
    y = causal_convolution(u, K)
    assert y.is_contiguous()
    torch.testing.assert_close(y.flatten(2)[..., 3:], causal_convolution(u, K[1:])[:, :, 0])


@pytest.mark.parametrize("L", [1, 2, 9])
def test_D_weighs_the_current_input(L):
    draw = torch.Generator().manual_seed(0)
    u, K, K_back, D = (
        torch.randn(*shape, generator=draw, dtype=torch.float64, requires_grad=True)
        for shape in ((2, L, 3), (2, 3, L), (2, 3, L), (2, 3))
    )
    skip = torch.einsum("blh,mh->blmh", u, D)
    causal = causal_convolution(u, K, D), causal_convolution(u, K) + skip
    both = two_sided_convolution(u, K, K_back, D), two_sided_convolution(u, K, K_back) + skip
    cotangent = torch.randn(2, L, 2, 3, generator=draw, dtype=torch.float64)
    for (ours, twin), inputs in ((causal, [u, K, D]), (both, [u, K, K_back, D])):
        torch.testing.assert_close(ours, twin)
        gradients = (torch.autograd.grad((y * cotangent).sum(), inputs, retain_graph=True) for y in (ours, twin))
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b)
