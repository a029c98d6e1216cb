"""Batch norm over valid steps: the CPU kernel against plain torch, outputs and gradients."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import batch_norm
from tests.backends import running


def run(backend, x, lengths, weight, bias, cotangents):
    """Outputs, and the gradients from the normalised x alone, the handed-through x alone, and both."""
    inputs = [t.detach().requires_grad_() for t in (x, weight, bias)]
    with running(backend):
        y, skip, *moments = batch_norm(inputs[0], lengths, *inputs[1:], 1e-5)
    gradients = torch.autograd.grad(y, inputs, cotangents[0], retain_graph=True)
    together = torch.autograd.grad((y, skip), inputs, cotangents, retain_graph=True)
    return [y, skip, *moments, *gradients, *together, *torch.autograd.grad(skip, inputs[:1], cotangents[1])]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=4), H=st.integers(1, 40), extra=st.integers(-5, 9),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_cpu_equals_reference(lengths, H, extra, seed):
    draw = torch.Generator().manual_seed(seed)
    L = max(max(lengths) + extra, 1)  # some lengths may lie above it
    x, *cotangents = torch.randn(3, len(lengths), L, H, generator=draw, dtype=torch.float64)
    weight, bias = torch.randn(2, H, generator=draw, dtype=torch.float64)
    arguments = (x, torch.tensor(lengths), weight, bias, cotangents)
    for fast, slow in zip(run("cpu", *arguments), run("reference", *arguments), strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


def test_a_gradient_that_all_steps_share_is_added_at_each():
    x, skip_cotangent = torch.randn(2, 9, 3, dtype=torch.float64), torch.randn(2, 1, 3, dtype=torch.float64)
    cotangents = torch.randn_like(x), skip_cotangent.expand_as(x)
    weight, bias = torch.randn(2, 3, dtype=torch.float64)
    arguments = (x, torch.tensor([9, 4]), weight, bias, cotangents)
    for fast, slow in zip(run("cpu", *arguments), run("reference", *arguments), strict=True):
        torch.testing.assert_close(fast, slow)


def test_float32_far_from_zero_keeps_its_precision():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 500, 3, generator=draw) + 1000
    y, _, mean, variance, _ = batch_norm(x, torch.tensor([500, 400]), torch.ones(3), torch.zeros(3), 1e-5)
    with running("reference"):
        exact, _, *moments, _ = batch_norm(x.double(), torch.tensor([500, 400]), torch.ones(3), torch.zeros(3), 1e-5)
    for ours, twin, tolerance in zip((y, mean, variance), (exact, *moments), (1e-3, 1e-3, 1e-4), strict=True):
        torch.testing.assert_close(ours.double(), twin.double(), rtol=0, atol=tolerance)


def test_padding_is_zero_whatever_stood_there():
    x = torch.randn(2, 6, 3)
    x[1, 2:] = float("nan")
    y, _, mean, *_ = batch_norm(x, torch.tensor([6, 2]), torch.ones(3), torch.ones(3), 1e-5)
    assert (y[1, 2:] == 0).all()
    assert mean.isfinite().all()


def test_a_batch_without_a_valid_step_has_no_moments():
    _, _, mean, variance, count = batch_norm(
        torch.ones(2, 6, 3), torch.tensor([0, 0]), torch.ones(3), torch.ones(3), 1e-5
    )
    assert mean.isnan().all()
    assert variance.isnan().all()
    assert count == 0
