"""What the Triton kernels share: complex arithmetic in reals, tiles of sequences, and launching where the tensors are.

Compiled, a kernel needs a CUDA device. With TRITON_INTERPRET=1 set before Triton is first imported, the same code runs
in Triton's interpreter on the CPU: slow, for tests.
"""

from functools import reduce
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

_FEATURES = 64  # of a tile at most: rows of a cache line or more, and few idle threads where H is no power of two


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


@triton.jit
def load_wide(pointer, mask):
    """A load of any precision as float32, or float64 where it is; zero where masked."""
    value = tl.load(pointer, mask=mask, other=0.0)
    return value.to(tl.float32) if value.dtype.primitive_bitwidth < 32 else value


@triton.jit
def tile(L, H, STEPS: tl.constexpr, FEATURES: tl.constexpr):
    """What a program computes of (B, L, H); neighbours in the launch order are neighbours in memory.

    Gives its sequence and its row of partial sums (int64: offsets may pass 2^31), its steps, (STEPS, 1), and its
    features, (1, FEATURES).
    """
    blocks, chunks = tl.cdiv(H, FEATURES), tl.cdiv(L, STEPS)
    row = tl.program_id(0) // blocks
    step = (row % chunks) * STEPS + tl.arange(0, STEPS)[:, None]
    n = (tl.program_id(0) % blocks) * FEATURES + tl.arange(0, FEATURES)[None, :]
    return (row // chunks).to(tl.int64), row.to(tl.int64), step, n


class Tiling(NamedTuple):
    """How a (B, L, H) tensor is cut into programs, see `tile`.

    Attributes:
        sizes: L and H.
        rows: of partial sums, one for each sequence and run of steps.
        grid: the number of programs.
        tile: constants of a kernel: steps and features of a program, powers of two.
    """

    sizes: tuple[int, int]
    rows: int
    grid: tuple[int]
    tile: dict[str, int]


def tiling(x: Tensor, elements: int) -> Tiling:
    """Programs of `elements` each, a power of two, over x, (B, L, H), or (L, H) or (H,) as one sequence."""
    B, L, H = (1, 1, *x.shape)[-3:]
    features = block(H, _FEATURES)
    steps = elements // features
    rows = B * triton.cdiv(L, steps)
    return Tiling((L, H), rows, (rows * triton.cdiv(H, features),), {"STEPS": steps, "FEATURES": features})


def common_dtype(*tensors: Tensor | None) -> torch.dtype:
    """What torch's own arithmetic on these tensors gives."""
    return reduce(torch.promote_types, [t.dtype for t in tensors if t is not None])


def wide_dtype(*tensors: Tensor | None) -> torch.dtype:
    """What sums over these tensors are taken in: float64 where one is, else float32."""
    return torch.promote_types(common_dtype(*tensors), torch.float32)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Run a kernel on the device of its first tensor, which need not be the current one."""
    like: Tensor = arguments[0]
    with torch.cuda.device_of(like):
        kernel[grid](*arguments, **constants)


def block(size: int, most: int) -> int:
    """The power of two that holds `size`, but not above `most`."""
    return min(triton.next_power_of_2(size), most)
