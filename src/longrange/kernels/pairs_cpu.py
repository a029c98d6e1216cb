"""Factors of matrix products in bfloat16, in Numba on the CPU, where a processor multiplies pairs of them.

One instruction multiplies two neighbours of each factor along the axis over which the product sums, and adds both to a
float32 sum: twice the work of a float32 instruction. Two such neighbours are one number of 32 bits. In all functions an
array `like` says what a product's factors are: where it is bfloat16, of 16 bits in Numba, they are pairs, elsewhere
they stay as they are. A matrix may be bfloat16 before.
"""

import numba
import numpy as np
from llvmlite.binding import get_host_cpu_features
from numba.core import types
from numba.extending import overload

from longrange.kernels.numba_tools import aligned, llvm_inline, narrowed
from longrange.kernels.vectors import LANES

MULTIPLIES_PAIRS = get_host_cpu_features().get("avx512bf16", False) and not numba.config.CPU_NAME  # of another CPU
_HIGH = np.uint32(16)  # bits below the second of a pair


def paired_across(matrix, like):
    """Rows (M, K), K even, of a product that sums along them: (M, K / 2), a value and the one after it."""


def paired_down(matrix, like):
    """Rows (K, N) of a product that sums over them: (K / 2 rounded up, N), a value and the one below it, or zero."""


def sums_of(out):
    """Float32 memory, (M, N), to add up products for `out`: `out` itself if it is not bfloat16."""


def write_sums(sums, out):
    """Bring to `out` what was added up in `sums_of(out)`."""


@overload(paired_across)
def _paired_across(matrix, like):
    if like.dtype != types.uint16:
        return lambda matrix, like: matrix

    if matrix.dtype == types.uint16:
        return lambda matrix, like: matrix.view(np.uint32)

    def pairs(matrix, like):
        out = aligned(matrix, matrix.size // 2).view(np.uint16).reshape(matrix.shape)
        _narrow(matrix, out)
        return out.view(np.uint32)

    return pairs


@overload(paired_down)
def _paired_down(matrix, like):
    if like.dtype != types.uint16:
        return lambda matrix, like: matrix

    def pairs(matrix, like):
        size, whole = matrix.shape[1], len(matrix) // 2
        out = aligned(np.empty(0, np.uint32), (len(matrix) + 1) // 2 * size).reshape(-1, size)
        for k in range(whole):
            first, second, both = matrix[2 * k], matrix[2 * k + 1], out[k]
            for n in range(size):
                both[n] = np.uint32(narrowed(like, first[n])) | np.uint32(narrowed(like, second[n])) << _HIGH
        for k in range(whole, len(out)):
            for n in range(size):
                out[k, n] = narrowed(like, matrix[2 * k, n])
        return out

    return pairs


@llvm_inline
def paired_panels(panels, like):
    """`paired_down` of a matrix in panels, (N / LANES, K, LANES), K even."""
    return paired_down(panels.reshape(-1, LANES), like).reshape(len(panels), -1, LANES)


@overload(sums_of)
def _sums_of(out):
    if out.dtype != types.uint16:
        return lambda out: out
    return lambda out: aligned(np.empty(0, np.float32), out.size).reshape(out.shape)


@overload(write_sums)
def _write_sums(sums, out):
    return (lambda sums, out: _narrow(sums, out)) if out.dtype == types.uint16 else (lambda sums, out: None)


@llvm_inline
def _narrow(matrix, out):
    for k in range(len(matrix)):
        row, to = matrix[k], out[k]
        for n in range(len(row)):
            to[n] = narrowed(to, row[n])
