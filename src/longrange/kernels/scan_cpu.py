"""The linear recurrence on the CPU: one sequential pass in Numba, state innermost, forward and backward.

Work is cut into tasks of one sequence and one slice of the state, so that neighbouring steps stay in the cache and
the innermost loop is a vector instruction. A step reads the state before it from the output: nothing is stored twice.
"""

import numba
import numpy as np
import torch
from torch import Tensor

# Fused multiply-adds are allowed; assumptions that would hide a NaN are not.
_FASTMATH = {"contract", "reassoc"}
_jit = numba.njit(parallel=True, fastmath=_FASTMATH, cache=True, nogil=True)
_inline = numba.njit(fastmath=_FASTMATH, cache=True, nogil=True, inline="always")

_SLICE = 64  # states per task at most: two rows of them, real and imaginary, stay in the first-level cache


def scan_forward(A_bar: Tensor, Bu: Tensor, initial: Tensor, bidirectional: bool) -> Tensor:
    """As `diagonal_scan_reference`, without gradients."""
    batch, length, _, size = Bu.shape
    x = Bu.new_empty(batch, length, 2 if bidirectional else 1, 2, size)
    _match_threads()
    _forward(*_arrays(A_bar, Bu, initial, x), _slice_width(size))
    return x


def scan_backward(A_bar: Tensor, x: Tensor, initial: Tensor, grad_x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `scan_forward`.

    Args:
        A_bar: (2, P).
        x: (B, L, D, 2, P) states of the forward pass.
        initial: (B, D, 2, P).
        grad_x: (B, L, D, 2, P).
    Returns:
        Gradients of A_bar (2, P), Bu (B, L, 2, P) and initial (B, D, 2, P).
    """
    batch, length, directions, _, size = x.shape
    grad_Bu = x.new_empty(batch, length, 2, size)
    adjoint = x.new_zeros(batch, directions, 2, size)
    grad_A = x.new_zeros(batch, 2, size)
    _match_threads()
    _backward(*_arrays(A_bar, x, initial, grad_x.contiguous(), grad_Bu, adjoint, grad_A), _slice_width(size))
    return grad_A.sum(0), grad_Bu, adjoint


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [t.detach().contiguous().numpy() for t in tensors]


def _match_threads() -> None:
    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))


def _slice_width(size: int) -> int:
    return min(size, _SLICE)


@_inline
def _advance(a, x, b, out, low, high):
    """out = a x + b on one slice of the state; a, x, b and out are (2, P)."""
    for n in range(low, high):
        re = a[0, n] * x[0, n] - a[1, n] * x[1, n] + b[0, n]
        im = a[0, n] * x[1, n] + a[1, n] * x[0, n] + b[1, n]
        out[0, n] = re
        out[1, n] = im


@_jit
def _forward(a, b, initial, x, width):
    batch, length, directions, _, size = x.shape
    slices = (size + width - 1) // width
    for task in numba.prange(batch * slices):
        i, low = task // slices, (task % slices) * width
        high = min(low + width, size)
        _advance(a, initial[i, 0], b[i, 0], x[i, 0, 0], low, high)
        for k in range(1, length):
            _advance(a, x[i, k - 1, 0], b[i, k], x[i, k, 0], low, high)
        if directions == 2:
            _advance(a, initial[i, 1], b[i, length - 1], x[i, length - 1, 1], low, high)
            for k in range(length - 2, -1, -1):
                _advance(a, x[i, k + 1, 1], b[i, k], x[i, k, 1], low, high)


@_inline
def _retreat(a, grad, before, s, grad_a, out, add, low, high):
    """s = grad + conj(a) s on one slice; grad_a += s conj(before); out = s, or out += s where `add`."""
    for n in range(low, high):
        re = grad[0, n] + a[0, n] * s[0, n] + a[1, n] * s[1, n]
        im = grad[1, n] + a[0, n] * s[1, n] - a[1, n] * s[0, n]
        grad_a[0, n] += re * before[0, n] + im * before[1, n]
        grad_a[1, n] += im * before[0, n] - re * before[1, n]
        s[0, n] = re
        s[1, n] = im
        out[0, n] = out[0, n] + re if add else re
        out[1, n] = out[1, n] + im if add else im


@_jit
def _backward(a, x, initial, grad_x, grad_b, adjoint, grad_a, width):
    batch, length, directions, _, size = x.shape
    slices = (size + width - 1) // width
    for task in numba.prange(batch * slices):
        i, low = task // slices, (task % slices) * width
        high = min(low + width, size)
        s, total = adjoint[i, 0], grad_a[i]
        for k in range(length - 1, 0, -1):
            _retreat(a, grad_x[i, k, 0], x[i, k - 1, 0], s, total, grad_b[i, k], False, low, high)
        _retreat(a, grad_x[i, 0, 0], initial[i, 0], s, total, grad_b[i, 0], False, low, high)
        _rotate_back(a, s, low, high)
        if directions == 2:
            s = adjoint[i, 1]
            for k in range(length - 1):
                _retreat(a, grad_x[i, k, 1], x[i, k + 1, 1], s, total, grad_b[i, k], True, low, high)
            last = length - 1
            _retreat(a, grad_x[i, last, 1], initial[i, 1], s, total, grad_b[i, last], True, low, high)
            _rotate_back(a, s, low, high)


@_inline
def _rotate_back(a, s, low, high):
    """s = conj(a) s: from the first step's state to the state before it."""
    for n in range(low, high):
        re = a[0, n] * s[0, n] + a[1, n] * s[1, n]
        s[1, n] = a[0, n] * s[1, n] - a[1, n] * s[0, n]
        s[0, n] = re
