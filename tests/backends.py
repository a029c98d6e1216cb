"""Running a block of code with one version of the kernels, and holding the Triton versions against the references.

One process interprets Triton's kernels on the CPU or compiles them for a GPU; `tests/conftest.py` decides.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest
import torch

from longrange.kernels import backend
from longrange.kernels.pairs_cpu import MULTIPLIES_PAIRS

INTERPRETED = find_spec("triton") is not None and os.environ.get("TRITON_INTERPRET") == "1"
on_gpu = [pytest.mark.gpu, pytest.mark.skipif(INTERPRETED or not torch.cuda.is_available(), reason="no CUDA device")]
interpreted = pytest.mark.skipif(not INTERPRETED, reason="Triton is not installed, or compiles for the GPU here")

needs_pairs = pytest.mark.skipif(not MULTIPLIES_PAIRS, reason="this CPU does not multiply pairs of bfloat16")

# device, dtype, error allowed relative to the largest value; the other side is computed in float64
each_device = pytest.mark.parametrize(
    ("device", "dtype", "tolerance"),
    [
        pytest.param("cpu", torch.float64, 1e-11, marks=interpreted),
        pytest.param("cuda", torch.float64, 1e-11, marks=on_gpu),
        pytest.param("cuda", torch.float32, 2e-5, marks=on_gpu),
    ],
)


def gpu_only(test):
    """Mark a test that needs compiled kernels."""
    for mark in on_gpu:
        test = mark(test)
    return test


@contextmanager
def running(name: str) -> Iterator[None]:
    """Select a backend, and "auto" again afterwards."""
    backend.select(name)
    try:
        yield
    finally:
        backend.select("auto")


def of_each_number_of_threads(function):
    """What a function returns with one thread, and with two."""
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(function())
    finally:
        torch.set_num_threads(threads)
    return results


def with_gradients(function, inputs, cotangent, version):
    """Output and gradients of all inputs, as one version computes them."""
    with running(version):
        inputs = [t.detach().requires_grad_() for t in inputs]
        out = function(*inputs)
        return [out.detach(), *torch.autograd.grad((out * cotangent).sum(), inputs)]


def agree(function, inputs, device, dtype, tolerance):
    """Outputs and all gradients of the Triton version against those of the reference in float64."""
    with running("reference"):
        cotangent = torch.randn_like(function(*inputs))
    slow = with_gradients(function, inputs, cotangent, "reference")
    moved = [t.to(device, dtype) for t in (*inputs, cotangent)]
    fast = with_gradients(function, moved[:-1], moved[-1], "triton")
    for ours, twin in zip(fast, slow, strict=True):
        assert ours.dtype == dtype
        assert ours.shape == twin.shape
        assert (ours.cpu().double() - twin).abs().max() <= tolerance * (1 + twin.abs().max())
