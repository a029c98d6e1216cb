"""What the Triton kernels share: complex arithmetic in reals, and launching where the tensors are.

Compiled, a kernel needs a CUDA device. With TRITON_INTERPRET=1 set before Triton is first imported, the same code runs
in Triton's interpreter on the CPU: slow, for tests.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def times(a_re, a_im, b_re, b_im):
    """The product a b as its real and imaginary parts."""
    return a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re


@triton.jit
def times_conjugate(a_re, a_im, b_re, b_im):
    """The product a conj(b) as its real and imaginary parts."""
    return a_re * b_re + a_im * b_im, a_im * b_re - a_re * b_im


@triton.jit
def load_pair(pointer, gap, mask):
    """Real and imaginary parts, `gap` elements apart; zero where masked."""
    return tl.load(pointer, mask=mask, other=0.0), tl.load(pointer + gap, mask=mask, other=0.0)


@triton.jit
def store_pair(pointer, gap, re, im, mask):
    """The inverse of `load_pair`."""
    tl.store(pointer, re, mask=mask)
    tl.store(pointer + gap, im, mask=mask)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Run a kernel on the device of its first tensor, which need not be the current one."""
    like: Tensor = arguments[0]
    with torch.cuda.device_of(like):
        kernel[grid](*arguments, **constants)


def block(size: int, most: int) -> int:
    """The power of two that holds `size`, but not above `most`."""
    return min(triton.next_power_of_2(size), most)
