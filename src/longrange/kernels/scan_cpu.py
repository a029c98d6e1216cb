"""The linear recurrence on the CPU: one sequential pass in Numba, state innermost, forward and backward.

Work is cut into tasks of one sequence and one slice of the state, so that neighbouring steps stay in the cache and
the innermost loop is a vector instruction. A step reads the state before it from the output: nothing is stored twice.
"""

import numba
import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, parallel

_SLICE = 64  # states per task at most: two rows of them, real and imaginary, stay in the first-level cache


def scan_forward(A_bar: Tensor, Bu: Tensor, initial: Tensor, bidirectional: bool) -> Tensor:
    """As `diagonal_scan_reference`, without gradients."""
    batch, length, _, size = Bu.shape
    x = Bu.new_empty(batch, length, 2 if bidirectional else 1, 2, size)
    _forward(*arrays(A_bar, Bu, initial, x), _slice_width(size))
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
    _backward(*arrays(A_bar, x, initial, grad_x.contiguous(), grad_Bu, adjoint, grad_A), _slice_width(size))
    return grad_A.sum(0), grad_Bu, _conjugate_product(A_bar, adjoint)


def _conjugate_product(a: Tensor, s: Tensor) -> Tensor:
    """conj(a) s for a (2, P) and s (..., 2, P): from the first step's adjoint to that of the state before it."""
    re, im = s.unbind(-2)
    return torch.stack([a[0] * re + a[1] * im, a[0] * im - a[1] * re], dim=-2)


def _slice_width(size: int) -> int:
    return min(size, _SLICE)


@inline
def _advance(a, x, b, out, low, high):
    """out = a x + b on one slice of the state; a, x, b and out are (2, P)."""
    a_re, a_im, x_re, x_im = a[0, low:high], a[1, low:high], x[0, low:high], x[1, low:high]
    b_re, b_im, out_re, out_im = b[0, low:high], b[1, low:high], out[0, low:high], out[1, low:high]
    for n in range(len(a_re)):
        re, im = x_re[n], x_im[n]
        out_re[n] = a_re[n] * re - a_im[n] * im + b_re[n]
        out_im[n] = a_re[n] * im + a_im[n] * re + b_im[n]


@parallel
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


@inline
def _retreat(a, grad, before, s, grad_a, out, add, low, high):
    """s = grad + conj(a) s on one slice; grad_a += s conj(before); out = s, or out += s where `add`."""
    a_re, a_im, grad_re, grad_im = a[0, low:high], a[1, low:high], grad[0, low:high], grad[1, low:high]
    x_re, x_im, s_re, s_im = before[0, low:high], before[1, low:high], s[0, low:high], s[1, low:high]
    ga_re, ga_im, out_re, out_im = grad_a[0, low:high], grad_a[1, low:high], out[0, low:high], out[1, low:high]
    for n in range(len(a_re)):
        re = grad_re[n] + a_re[n] * s_re[n] + a_im[n] * s_im[n]
        im = grad_im[n] + a_re[n] * s_im[n] - a_im[n] * s_re[n]
        ga_re[n] += re * x_re[n] + im * x_im[n]
        ga_im[n] += im * x_re[n] - re * x_im[n]
        s_re[n] = re
        s_im[n] = im
        out_re[n] = out_re[n] + re if add else re
        out_im[n] = out_im[n] + im if add else im


@parallel
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
        if directions == 2:
            s = adjoint[i, 1]
            for k in range(length - 1):
                _retreat(a, grad_x[i, k, 1], x[i, k + 1, 1], s, total, grad_b[i, k], True, low, high)
            last = length - 1
            _retreat(a, grad_x[i, last, 1], initial[i, 1], s, total, grad_b[i, last], True, low, high)
