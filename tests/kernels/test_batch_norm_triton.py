"""Batch norm over valid steps in Triton against plain torch: interpreted on the CPU, compiled where there is a GPU."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import batch_norm
from longrange.models.norm import MaskedBatchNorm
from tests.backends import agree, each_device, gpu_only, interpreted, running, with_gradients


def problem(lengths, extra, H, seed=0):
    """x, weight and bias in float64, and the lengths, some above that of x where extra is negative."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(max(lengths) + extra, 1), H, generator=draw).double()
    weight, bias = torch.randn(2, H, generator=draw).double()
    return (x, weight, bias), torch.tensor(lengths)


def every_output(lengths, skip=True):
    """Normalised x and, on request, the handed-through x; the moments beside them, so that all are compared."""

    def function(x, weight, bias):
        y, through, mean, variance, count = batch_norm(x, lengths.to(x.device), weight, bias, 1e-5)
        rows = torch.stack([mean, variance, count.expand_as(mean)]).unsqueeze(0).expand(len(x), -1, -1)
        return torch.cat([y + through if skip else y, rows], dim=1)

    return function


@each_device
@pytest.mark.parametrize("skip", [True, False])
@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=4), H=st.integers(1, 80), extra=st.integers(-5, 9),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_equals_reference(lengths, H, extra, seed, skip, device, dtype, tolerance):
    inputs, lengths = problem(lengths, extra, H, seed)
    agree(every_output(lengths, skip), inputs, device, dtype, tolerance)


@interpreted
def test_gradcheck_in_float64():
    inputs, lengths = problem([3, 1], 0, 2)
    with running("triton"):
        assert torch.autograd.gradcheck(
            lambda x, weight, bias: batch_norm(x, lengths, weight, bias, 1e-5)[:2], [t.requires_grad_() for t in inputs]
        )


@each_device
def test_float32_far_from_zero_keeps_its_precision(device, dtype, tolerance):
    (x, weight, bias), lengths = problem([500, 400], 0, 3)
    x = (x + 1000).float()
    with running("reference"):
        exact = every_output(lengths, skip=False)(x.double(), weight, bias)
    with running("triton"):
        ours = every_output(lengths, skip=False)(*(t.to(device).float() for t in (x, weight, bias)))
    assert (ours.cpu().double() - exact).abs().max() < 1e-3


@each_device
def test_padding_is_not_read_and_written_as_zero(device, dtype, tolerance):
    (x, weight, bias), lengths = problem([130, 2], 6, 70)
    x[1, 2:] = float("nan")
    moved = [t.to(device, dtype).requires_grad_() for t in (x, weight, bias)]
    with running("triton"):
        y, _, mean, variance, _ = batch_norm(moved[0], lengths.to(device), *moved[1:], 1e-5)
    cotangent = torch.ones_like(y)
    cotangent[1, 2:] = float("nan")
    gradients = torch.autograd.grad(y, moved, cotangent)
    assert (y[1, 2:] == 0).all()
    assert (gradients[0][1, 2:] == 0).all()
    assert all(t.isfinite().all() for t in (y, mean, variance, *gradients))


@each_device
def test_bfloat16_inputs_keep_float32_statistics(device, dtype, tolerance):
    (x, weight, bias), lengths = problem([200, 50], 0, 4)
    low = (x + 30).bfloat16()
    results = {}
    for version, where in (("triton", device), ("reference", "cpu")):
        with running(version):
            inputs = [t.to(where).requires_grad_() for t in (low, weight.float(), bias.float())]
            y, skip, *moments = batch_norm(inputs[0], lengths.to(where), *inputs[1:], 1e-5)
        cotangent = (torch.arange(y.numel()) % 7).view_as(x).to(y)
        results[version] = y, skip, *moments, *torch.autograd.grad(y + skip, inputs, cotangent)
    for ours, twin in zip(*results.values(), strict=True):
        assert ours.dtype == twin.dtype
        coarse = ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.cpu(), twin, rtol=0.02 if coarse else 1e-4, atol=0.04 if coarse else 1e-3)


@each_device
def test_the_norm_of_a_model_takes_the_kernel_with_and_without_lengths(device, dtype, tolerance):
    (x, *_), _ = problem([9, 9], 0, 5)
    norms = [MaskedBatchNorm(5, momentum=0.3).to(device, dtype) for _ in range(3)]
    plain = torch.nn.BatchNorm1d(5, momentum=0.3).double()
    expected = plain(x.flatten(0, 1)).view_as(x)
    x = x.to(device, dtype)
    with running("triton"):
        found = [norms[0](x), norms[1](x, torch.tensor([9, 9], device=device))]
    with running("reference"):
        found.append(norms[2](x))
    for y, norm in zip(found, norms, strict=True):
        assert (y.cpu().double() - expected).abs().max() <= 10 * tolerance
        assert (norm.running_var.cpu().double() - plain.running_var).abs().max() <= tolerance


@gpu_only
def test_long_batches_on_a_gpu_repeat_bit_by_bit():
    inputs, lengths = problem([5000, 4000, 17, 3333, 4999, 64, 128, 2000], 100, 192)
    agree(every_output(lengths), inputs, "cuda", torch.float32, 1e-4)
    single = [t.cuda().float() for t in inputs]
    with running("triton"):
        cotangent = torch.randn_like(every_output(lengths)(*single))
    runs = [with_gradients(every_output(lengths), single, cotangent, "triton") for _ in range(2)]
    assert all(torch.equal(ours, again) for ours, again in zip(*runs, strict=True))
