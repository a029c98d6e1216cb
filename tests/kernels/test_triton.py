"""The Triton kernels against their reference versions: interpreted on the CPU, compiled where there is a GPU.

One process does one of the two; `tests/conftest.py` decides. That they compile for a GPU is tested without one.
"""

import os
import re
import subprocess
import sys
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.func import functional_call

from longrange import kernels
from longrange.kernels import (
    cauchy,
    causal_convolution,
    diagonal_scan,
    scan_cpu,
    two_sided_convolution,
    vandermonde,
)
from longrange.layers import S4, S4D, S5
from longrange.models import ResidualBlock
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


@each_device
@pytest.mark.parametrize(
    ("B", "L", "H", "M", "lengths"),
    [(1, 1, 1, 1, (1,)), (3, 5, 17, 1, (7, 2)), (2, 70, 3, 2, (70,)), (2, 65, 66, 3, (9, 65))],
)
def test_convolution(B, L, H, M, lengths, device, dtype, tolerance):
    torch.manual_seed(L)
    shapes = [(B, L, H), *((M, H, length) for length in lengths), (M, H)]
    function = causal_convolution if len(lengths) == 1 else two_sided_convolution
    agree(function, [torch.randn(shape).double() for shape in shapes], device, dtype, tolerance)


@each_device
@pytest.mark.parametrize("wanted", range(4))
def test_the_gradient_of_one_argument_of_a_convolution_alone(wanted, device, dtype, tolerance):
    torch.manual_seed(0)
    inputs = [torch.randn(shape).to(device, dtype) for shape in ((2, 6, 3), (2, 3, 6), (2, 3, 5), (2, 3))]
    others = with_gradients(two_sided_convolution, inputs, torch.ones(2, 6, 2, 3).to(inputs[0]), "triton")[1:]
    alone = [t.requires_grad_(i == wanted) for i, t in enumerate(inputs)]
    with running("triton"):
        (grad,) = torch.autograd.grad(two_sided_convolution(*alone).sum(), alone[wanted])
    assert torch.equal(grad, others[wanted])


@each_device
@pytest.mark.parametrize("layer", [S5, S4D, partial(S4, l_max=20)])
def test_a_block_of_a_model(layer, device, dtype, tolerance):
    """All kernels of a block one after the other, on padded sequences."""
    torch.manual_seed(0)
    block, lengths = ResidualBlock(6, layer(6, d_state=8)).double(), torch.tensor([20, 7])
    names, parameters = zip(*block.named_parameters(), strict=True)

    def run(x, *parameters):
        own = deepcopy(block).to(x)
        return functional_call(own, dict(zip(names, parameters, strict=True)), (x, lengths.to(x.device)))[:, :7]

    agree(run, [torch.randn(2, 20, 6).double(), *parameters], device, dtype, 10 * tolerance)


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


COMPILED = {
    "scan": "scan_triton: _walk _backward",
    "system": "diagonal_system_triton: _forward _backward",
    "products": "cauchy_triton: _forward _backward; vandermonde_triton: _powers _forward _backward",
    "convolution": "convolution_triton: _turn _correlations",
    "pointwise": "pointwise_triton: _gelu _gelu_backward _gated _gated_backward _scaled_backward",
    "batch_norm": "batch_norm_triton: _moments _merge _normalize _add_up _combine",
}


@pytest.mark.parametrize("group", COMPILED)
def test_every_kernel_compiles_for_a_gpu(group, tmp_path):
    triton = find_spec("triton")
    if triton is None or not Path(triton.origin).with_name("backends").joinpath("nvidia/bin/ptxas").exists():
        pytest.skip("Triton and the assembler that comes with it are not installed")
    script = Path(__file__).with_name("compile_triton.py")
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, script, group], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = (part.split(":") for part in COMPILED[group].split("; "))
    assert set(done.stdout.split()) == {f"{module}.{name}" for module, names in modules for name in names.split()}


def test_every_kernel_is_in_a_group():
    files = Path(kernels.__file__).parent.glob("*_triton.py")
    assert {file.stem for file in files} == set(re.findall(r"\w+_triton", " ".join(COMPILED.values())))
