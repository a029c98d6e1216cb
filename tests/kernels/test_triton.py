"""The Triton kernels against their reference versions: interpreted on the CPU, compiled where there is a GPU.

One process does one of the two; `tests/conftest.py` decides. That they compile for a GPU is tested without one.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from longrange.kernels import cauchy, diagonal_scan, scan_cpu, vandermonde
from tests.backends import agree, each_device, gpu_only, running, with_gradients


def circle(*shape, shortest=0.5):
    """Complex numbers inside the unit circle, (2, ...) float64."""
    radius, angle = shortest + (1 - shortest) * torch.rand(shape), 6.3 * torch.rand(shape)
    return torch.stack([radius * angle.cos(), radius * angle.sin()]).double()


def scan_problem(B, L, P, both):
    torch.manual_seed(L)
    return circle(P), torch.randn(B, L, 2, P).double(), torch.randn(B, 1 + both, 2, P).double()


@each_device
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("B", "L", "P"), [(2, 1, 3), (3, 30, 17), (1, 65, 5), (2, 77, 70), (2, 128, 1), (1, 200, 3)])
def test_scan(B, L, P, both, device, dtype, tolerance):
    agree(lambda *t: diagonal_scan(*t, bidirectional=both), scan_problem(B, L, P, both), device, dtype, tolerance)


@each_device
def test_scan_keeps_sequences_apart(device, dtype, tolerance):
    A_bar, Bu, initial = (t.to(device, dtype) for t in scan_problem(2, 70, 3, True))
    Bu[1, 66] = float("nan")
    with running("triton"):
        x = diagonal_scan(A_bar, Bu, initial, bidirectional=True)
    assert x[0].isfinite().all()
    assert x[1, 66:, 0].isnan().all()
    assert x[1, :66, 0].isfinite().all()
    assert x[1, :67, 1].isnan().all()
    assert x[1, 67:, 1].isfinite().all()


@each_device
def test_scan_reads_tensors_in_any_memory_order(device, dtype, tolerance):
    A_bar, Bu, initial = scan_problem(2, 5, 3, True)
    strided = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (A_bar, Bu, initial)]
    assert not strided[1].is_contiguous()
    agree(lambda *t: diagonal_scan(*t, bidirectional=True), strided, device, dtype, tolerance)


@each_device
@pytest.mark.parametrize(("J", "H", "N", "K"), [(1, 1, 1, 1), (4, 3, 5, 33), (9, 2, 11, 130), (2, 1, 9, 300)])
def test_cauchy(J, H, N, K, device, dtype, tolerance):
    torch.manual_seed(K)
    poles = torch.stack([-0.05 - torch.rand(H, N), -6 * torch.rand(H, N)]).double()
    y = 2 * torch.tan(torch.pi / 2 * torch.arange(K) / K).double()
    inputs = (torch.randn(J, 2, H, N).double(), poles)
    agree(lambda v, Lambda: cauchy(v, Lambda, y.to(v)), inputs, device, dtype, tolerance)


@each_device
@pytest.mark.parametrize(
    ("M", "H", "N", "L"), [(1, 1, 1, 1), (2, 3, 5, 2), (3, 2, 9, 257), (1, 2, 3, 1000), (2, 1, 1, 17000)]
)
def test_vandermonde(M, H, N, L, device, dtype, tolerance):
    torch.manual_seed(L)
    A_bar = circle(H, N, shortest=0.99).float().double()
    agree(lambda c, a: vandermonde(c, a, L), (torch.randn(M, 2, H, N).double(), A_bar), device, dtype, tolerance)


@each_device
def test_vandermonde_of_a_pole_that_has_decayed_at_once(device, dtype, tolerance):
    inputs = (torch.randn(1, 2, 2, 3).double(), torch.zeros(2, 2, 3).double())
    agree(lambda c, a: vandermonde(c, a, 20), inputs, device, dtype, tolerance)


@gpu_only
def test_long_scan_on_a_gpu():
    A_bar, Bu, initial = scan_problem(8, 5000, 192, True)
    x = scan_cpu.scan_forward(A_bar, Bu, initial, True)
    slow = [x, *scan_cpu.scan_backward(A_bar, x, initial, x)]
    single = [t.cuda().float() for t in (A_bar, Bu, initial)]
    runs = [
        with_gradients(lambda *t: diagonal_scan(*t, bidirectional=True), single, x.cuda().float(), "triton")
        for _ in range(2)
    ]
    for ours, again, twin in zip(*runs, slow, strict=True):
        assert torch.equal(ours, again)
        assert (ours.cpu() - twin).abs().max() < 1e-4 * twin.abs().max()


def test_every_kernel_compiles_for_a_gpu(tmp_path):
    triton = find_spec("triton")
    if triton is None or not Path(triton.origin).with_name("backends").joinpath("nvidia/bin/ptxas").exists():
        pytest.skip("Triton and the assembler that comes with it are not installed")
    script = Path(__file__).with_name("compile_triton.py")
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {
        "scan_triton._walk",
        "scan_triton._backward",
        "cauchy_triton._forward",
        "cauchy_triton._backward",
        "vandermonde_triton._powers",
        "vandermonde_triton._forward",
        "vandermonde_triton._backward",
        "pointwise_triton._gelu",
        "pointwise_triton._gelu_backward",
        "pointwise_triton._gated",
        "pointwise_triton._gated_backward",
        "pointwise_triton._add_scaled_backward",
        "batch_norm_triton._moments",
        "batch_norm_triton._affine",
        "batch_norm_triton._add_up",
        "batch_norm_triton._combine",
    }
