"""Compiles every Triton kernel for an H100, in the variants that its callers ask for, and prints the kernels' names.

Needs no GPU. Calls the kernels' callers with the launch replaced by a compilation.
"""

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from longrange.kernels import cauchy_triton, scan_triton, vandermonde_triton

HOPPER = GPUTarget("cuda", 90, 32)


def compile_only(kernel, grid, *arguments, **constants):
    given = dict(zip(kernel.arg_names, arguments, strict=False))
    types = {name: "*fp32" if isinstance(value, torch.Tensor) else "i32" for name, value in given.items()}
    types |= dict.fromkeys(constants, "constexpr")
    multiples = [i for i, value in enumerate(arguments) if isinstance(value, torch.Tensor) or value % 16 == 0]
    attributes = {(i,): [["tt.divisibility", 16]] for i in multiples}
    source = ASTSource(kernel, types, constexprs=constants, attrs=attributes)
    assert triton.compile(source, target=HOPPER).asm["cubin"]
    print(f"{kernel.fn.__module__.rpartition('.')[2]}.{kernel.fn.__name__}")  # noqa: T201


def scan(L, P, both):
    A_bar, Bu, initial = torch.zeros(2, P), torch.zeros(1, L, 2, P), torch.zeros(1, 1 + both, 2, P)
    x = scan_triton.scan_forward(A_bar, Bu, initial, both)
    scan_triton.scan_backward(A_bar, x, initial, x)


def products(sums, H, N, length):
    weights, poles = torch.zeros(sums, 2, H, N), torch.zeros(2, H, N)
    cauchy_triton.cauchy_forward(weights, poles, torch.zeros(length))
    cauchy_triton.cauchy_backward(weights, poles, torch.zeros(length), torch.zeros(sums, 2, H, length))
    vandermonde_triton.vandermonde_forward(weights, poles, length)
    vandermonde_triton.vandermonde_backward(weights, poles, torch.zeros(sums, H, length))


for module in (scan_triton, cauchy_triton, vandermonde_triton):
    module.launch = compile_only
scan(L=100, P=192, both=False)
scan(L=1000, P=17, both=True)
products(sums=4, H=8, N=32, length=1024)
products(sums=1, H=3, N=1, length=17)
