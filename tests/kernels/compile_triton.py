"""Compiles a group of Triton kernels for an H100, in the variants that its callers ask for, and prints their names.

Needs no GPU. Calls the kernels' callers with the launch replaced by a compilation.
"""

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from longrange.kernels import (
    batch_norm_triton,
    cauchy_triton,
    convolution_triton,
    diagonal_system_triton,
    pointwise_triton,
    scan_triton,
    vandermonde_triton,
)

HOPPER = GPUTarget("cuda", 90, 32)
POINTERS = {torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.float64: "*fp64", torch.int64: "*i64"}
MODULES = (
    scan_triton, diagonal_system_triton, cauchy_triton, vandermonde_triton, convolution_triton, pointwise_triton,
    batch_norm_triton,
)  # fmt: skip


def is_multiple(value):
    """Whether Triton takes it, at launch, to be a multiple of 16."""
    return isinstance(value, torch.Tensor) or value % 16 == 0


def compile_only(kernel, grid, *arguments, **constants):
    given = dict(zip(kernel.arg_names, arguments, strict=False))
    constants |= {name: value for name, value in given.items() if value is None}
    types = {name: POINTERS[value.dtype] if isinstance(value, torch.Tensor) else "i32" for name, value in given.items()}
    types |= dict.fromkeys(constants, "constexpr")
    multiples = [i for i, value in enumerate(arguments) if value is not None and is_multiple(value)]
    attributes = {(i,): [["tt.divisibility", 16]] for i in multiples}
    source = ASTSource(kernel, types, constexprs=constants, attrs=attributes)
    assert triton.compile(source, target=HOPPER).asm["cubin"]
    print(f"{kernel.fn.__module__.rpartition('.')[2]}.{kernel.fn.__name__}")  # noqa: T201


def scan(L, P, both):
    A_bar, Bu, initial = torch.zeros(2, P), torch.zeros(1, L, 2, P), torch.zeros(1, 1 + both, 2, P)
    x = scan_triton.scan_forward(A_bar, Bu, initial, both)
    scan_triton.scan_backward(A_bar, x, initial, x)


def system(rule, p, H, directions, dtype):
    vectors, B, C = (
        torch.zeros(3, p, dtype=dtype),
        torch.zeros(p, H, 2, dtype=dtype),
        torch.zeros(H, directions * p, 2, dtype=dtype),
    )
    outputs = diagonal_system_triton.system_forward(rule, *vectors, B, C, 2.0)
    diagonal_system_triton.system_backward(rule, tuple(vectors), B, 2.0, outputs)


def products(sums, H, N, length):
    weights, poles = torch.zeros(sums, 2, H, N), torch.zeros(2, H, N)
    cauchy_triton.cauchy_forward(weights, poles, torch.zeros(length))
    cauchy_triton.cauchy_backward(weights, poles, torch.zeros(length), torch.zeros(sums, 2, H, length))
    vandermonde_triton.vandermonde_forward(weights, poles, length)
    vandermonde_triton.vandermonde_backward(weights, poles, torch.zeros(sums, H, length))


def convolution(B, M, H, L, dtype):
    """u of L steps, by M channels of kernels."""
    turned = convolution_triton.features_first(torch.zeros(B, L, H, dtype=dtype), 2 * L)
    convolution_triton.time_first(turned, L)
    spectrum = torch.view_as_complex(torch.zeros(B, H, L + 1, 2, dtype=dtype))
    kernels = spectrum[:1].expand(M, -1, -1)
    grad = spectrum.unsqueeze(1).expand(-1, M, -1, -1)
    for wanted in ((True, True), (True, False), (False, True)):
        convolution_triton.correlations(grad, spectrum, kernels, *wanted)


def pointwise(x, skip, tied):
    """One half of a projection in x's precision, all else in that of skip."""
    scale, bias = skip[:, : 1 if tied else None], skip.new_zeros(2 * skip.shape[-1])
    for exact in (True, False):
        pointwise_triton.gelu(skip, None, scale, exact)
        pointwise_triton.gelu_backward(x, scale, None, exact, x, *((None, None) if tied else (skip, x)))
    half = bias[: skip.shape[-1]]
    pointwise_triton.gated(skip, x, half, scale, skip)
    pointwise_triton.gated_backward(skip, x, half, scale, skip)
    z = torch.cat([x, x], -1)
    pointwise_triton.glu(z, bias, None, None)
    pointwise_triton.glu_backward(z, bias, scale, skip)
    pointwise_triton.scaled_backward(half, x, skip, None)
    pointwise_triton.scaled_backward(half, x, skip, skip)


def batch_norm(x):
    lengths, vector = torch.full((len(x),), x.shape[1]), torch.zeros(x.shape[-1])
    mean, variance, count = batch_norm_triton.moments(x, lengths)
    batch_norm_triton.normalized(x, lengths, mean, variance, vector, vector, 1e-5)
    sums = batch_norm_triton.sums(x, x, lengths, mean, variance, 1e-5)
    for skip in (None, x):
        batch_norm_triton.combine(x, x, lengths, (mean, variance, count, sums), vector, 1e-5, skip)


GROUPS = {
    "scan": lambda: (scan(L=100, P=192, both=False), scan(L=1000, P=17, both=True)),
    "system": lambda: (
        system("zoh", p=192, H=512, directions=2, dtype=torch.float32),
        system("bilinear", p=3, H=5, directions=1, dtype=torch.float64),
    ),
    "products": lambda: (products(sums=4, H=8, N=32, length=1024), products(sums=1, H=3, N=1, length=17)),
    "convolution": lambda: (
        convolution(B=2, M=1, H=512, L=1024, dtype=torch.float32),
        convolution(B=1, M=3, H=3, L=5, dtype=torch.float64),
    ),
    "pointwise": lambda: (
        pointwise(torch.zeros(2, 100, 160).bfloat16(), torch.zeros(2, 100, 160), tied=False),
        pointwise(torch.zeros(1, 1, 3).double(), torch.zeros(1, 1, 3).double(), tied=True),
    ),
    "batch_norm": lambda: (batch_norm(torch.zeros(2, 100, 64)), batch_norm(torch.zeros(1, 3, 5).bfloat16())),
}
for module in MODULES:
    module.launch = compile_only
GROUPS[sys.argv[1]]()
