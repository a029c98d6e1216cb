"""Fourier transforms of real sequences on the CPU, in Numba: one slice of features at a time, a vector register wide.

Rows of a slice are time steps, read and written where they lie: nothing is transposed. Two steps make one complex
number, z_t = u_2t + i u_2t+1, so that a period of n steps is a transform of N = n / 2, in place in `n * LANES` values.

The forward transform splits polynomials, x^2m - c^2 into x^m - c and x^m + c, down to numbers; the inverse joins them.
All butterflies of a block then share their factors, and numbers come out in bit-reversed order: at place p the value
at w_p = exp(-2 pi i r_p), where r_p is p's binary digits behind the point in reversed order, whatever N is.
"""

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from longrange.kernels.complex_vectors import (
    ROW,
    broadcast_complex,
    load_complex,
    minus,
    minus_i_times,
    plus,
    plus_i_times,
    store_complex,
    times,
    times_conjugate,
)
from longrange.kernels.numba_tools import internal, llvm_inline
from longrange.kernels.vectors import load_row, store_row, zero_vector

LONGEST = 1 << 19  # period: longer ones torch transforms faster
_NEAR = 256  # rows, of a block that stays in the first-level cache
ZERO = np.int64(0)  # a literal would be a type of its own, for which functions are compiled again
_FACTORS = 6  # values per block: the real and imaginary parts of three factors


def period(n: int) -> int | None:
    """The power of two that a period of at least n becomes here, or None: too long."""
    n = max(4, 1 << (n - 1).bit_length())
    return n if n <= LONGEST else None


@cache
def tables(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The factors w_4b, w_2b and w_4b w_2b of every block b, and w_p of every place; (real, imaginary) pairs."""
    angles = -2 * math.pi * _reversed_digits(LONGEST // 2)
    blocks = torch.stack([angles[::4], angles[::2][: len(angles) // 4], 0 * angles[::4]], 1)
    blocks[:, 2] = blocks[:, 0] + blocks[:, 1]
    return _parts(blocks).to(dtype), _parts(angles).to(dtype)


@cache
def real_tables(N: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The place of every frequency k below N, int64, and exp(-pi i k / N) as (real, imaginary) pairs."""
    return (N * _reversed_digits(N)).long(), _parts(-math.pi / N * torch.arange(N, dtype=torch.float64)).to(dtype)


def _reversed_digits(count: int) -> Tensor:
    """r_p of so many places, a power of two."""
    digits = torch.zeros(1, dtype=torch.float64)
    while len(digits) < count:
        digits = torch.stack([digits / 2, digits / 2 + 0.5], 1).flatten()
    return digits


def _parts(angles: Tensor) -> Tensor:
    return torch.stack([angles.cos(), angles.sin()], -1).flatten()


@internal
def forward(steps, z, factors):
    """z = transform of the rows of `steps`, (L, LANES), with zeros after them."""
    N = len(z) // ROW
    blocks = 2 if _odd_power(N) else 4
    if blocks == 2:
        _read_2(steps, z, N // 2)
    else:
        _read_4(steps, z, N // 4)
    while N // blocks > _NEAR:
        _butterflies(z, N // blocks // 4, ZERO, blocks, factors)
        blocks *= 4
    for block in range(blocks):
        quarter, count = N // blocks // 4, 1
        while quarter:
            _butterflies(z, quarter, block * count, (block + 1) * count, factors)
            quarter, count = quarter // 4, count * 4


@internal
def inverse(z, steps, factors):
    """The rows of `steps`, (L, LANES), from their transform, times N."""
    N = len(z) // ROW
    blocks = 2 if _odd_power(N) else 4
    while N // blocks > _NEAR:
        blocks *= 4
    for block in range(blocks):
        count = N // blocks // 4
        while count:
            _inverse_butterflies(z, N // blocks // 4 // count, block * count, (block + 1) * count, factors)
            count //= 4
    while blocks > 4:
        blocks //= 4
        _inverse_butterflies(z, N // blocks // 4, ZERO, blocks, factors)
    if blocks == 2:
        _write_2(z, N // 2, steps)
    else:
        _write_4(z, N // 4, steps)


@llvm_inline
def _odd_power(N):
    """Whether N, a power of two, is no power of four."""
    return N & 0xAAAAAAAA != 0


@internal
def _butterflies(z, quarter, low, high, factors):
    """Blocks number `low` to `high` of four quarters each into a block each."""
    step = quarter * ROW
    for block in range(low, high):
        w1, w2, w3 = _three_twiddles(factors, block)
        for i in range(4 * block * step, (4 * block + 1) * step, ROW):
            b1 = times(load_complex(z, i + step), w1)
            b2 = times(load_complex(z, i + 2 * step), w2)
            b3 = times(load_complex(z, i + 3 * step), w3)
            _store_butterfly(z, i, step, load_complex(z, i), b1, b2, b3)


@internal
def _inverse_butterflies(z, quarter, low, high, factors):
    """What `_butterflies` does, undone, times four."""
    step = quarter * ROW
    for block in range(low, high):
        w1, w2, w3 = _three_twiddles(factors, block)
        for i in range(4 * block * step, (4 * block + 1) * step, ROW):
            b0, b1, b2, b3 = _inverse_butterfly(z, i, step)
            store_complex(z, i, b0)
            store_complex(z, i + step, times_conjugate(b1, w1))
            store_complex(z, i + 2 * step, times_conjugate(b2, w2))
            store_complex(z, i + 3 * step, times_conjugate(b3, w3))


@internal
def _read_4(steps, z, quarter):
    """`_butterflies` of one block that is somewhere else: all factors are 1."""
    for r in range(quarter):
        b0, b1 = _read(steps, r), _read(steps, r + quarter)
        b2, b3 = _read(steps, r + 2 * quarter), _read(steps, r + 3 * quarter)
        _store_butterfly(z, r * ROW, quarter * ROW, b0, b1, b2, b3)


@internal
def _write_4(z, quarter, steps):
    """`_inverse_butterflies` of one block to somewhere else: all factors are 1."""
    for r in range(quarter):
        b0, b1, b2, b3 = _inverse_butterfly(z, r * ROW, quarter * ROW)
        _write(steps, r, b0)
        _write(steps, r + quarter, b1)
        _write(steps, r + 2 * quarter, b2)
        _write(steps, r + 3 * quarter, b3)


@internal
def _read_2(steps, z, half):
    """As `_read_4`, into two blocks."""
    for r in range(half):
        a, b = _read(steps, r), _read(steps, r + half)
        store_complex(z, r * ROW, plus(a, b))
        store_complex(z, (r + half) * ROW, minus(a, b))


@internal
def _write_2(z, half, steps):
    """As `_write_4`, from two blocks."""
    for r in range(half):
        a, b = load_complex(z, r * ROW), load_complex(z, (r + half) * ROW)
        _write(steps, r, plus(a, b))
        _write(steps, r + half, minus(a, b))


@llvm_inline
def _store_butterfly(z, i, step, b0, b1, b2, b3):
    even, odd = plus(b0, b2), plus(b1, b3)
    store_complex(z, i, plus(even, odd))
    store_complex(z, i + step, minus(even, odd))
    even, odd = minus(b0, b2), minus(b1, b3)
    store_complex(z, i + 2 * step, minus_i_times(even, odd))
    store_complex(z, i + 3 * step, plus_i_times(even, odd))


@llvm_inline
def _inverse_butterfly(z, i, step):
    a, b = load_complex(z, i), load_complex(z, i + step)
    c, d = load_complex(z, i + 2 * step), load_complex(z, i + 3 * step)
    even, odd, third, fourth = plus(a, b), minus(a, b), plus(c, d), minus(c, d)
    return plus(even, third), plus_i_times(odd, fourth), minus(even, third), minus_i_times(odd, fourth)


@llvm_inline
def _three_twiddles(factors, block):
    at = _FACTORS * block
    return broadcast_complex(factors, at), broadcast_complex(factors, at + 2), broadcast_complex(factors, at + 4)


@llvm_inline
def _read(steps, r):
    """Number r, of steps 2r and 2r + 1: zeros where the sequence is over."""
    even = load_row(steps, 2 * r) if 2 * r < len(steps) else zero_vector(steps)
    odd = load_row(steps, 2 * r + 1) if 2 * r + 1 < len(steps) else zero_vector(steps)
    return even, odd


@llvm_inline
def _write(steps, r, number):
    if 2 * r < len(steps):
        store_row(steps, 2 * r, number[0])
    if 2 * r + 1 < len(steps):
        store_row(steps, 2 * r + 1, number[1])
