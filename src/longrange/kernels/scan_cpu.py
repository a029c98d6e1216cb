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
    _backward(*arrays(A_bar, x, initial, grad_x, grad_Bu, adjoint, grad_A), _slice_width(size))
    return grad_A.sum(0), grad_Bu, _conjugate_product(A_bar, adjoint)


def _conjugate_product(a: Tensor, s: Tensor) -> Tensor:
    """conj(a) s for a (2, P) and s (..., 2, P): from the first step's adjoint to that of the state before it."""
    re, im = s.unbind(-2)
    return torch.stack([a[0] * re + a[1] * im, a[0] * im - a[1] * re], dim=-2)


def _slice_width(size: int) -> int:
    return min(size, _SLICE)


@parallel
def _forward(a, b, initial, x, width):
    batch, length, directions, _, size = x.shape
    slices = (size + width - 1) // width
    for task in numba.prange(batch * slices):
        i, low = task // slices, (task % slices) * width
        high = min(low + width, size)
        a_re, a_im = a[0, low:high], a[1, low:high]
        inputs, states = b[i].reshape(-1), x[i].reshape(-1)
        for d in range(directions):
            before, at = initial[i, d].reshape(-1), low
            for k in range(length):
                step = k if d == 0 else length - 1 - k
                to = (step * directions + d) * 2 * size + low
                _advance(a_re, a_im, before, at, inputs, step * 2 * size + low, states, to, size)
                before, at = states, to


@inline
def _advance(a_re, a_im, x, x_at, b, b_at, out, out_at, size):
    """out = a x + b on one slice of the state; x, b and out are flat, imaginary parts `size` after the real ones."""
    width = len(a_re)
    x_re, x_im = x[x_at : x_at + width], x[x_at + size : x_at + size + width]
    b_re, b_im = b[b_at : b_at + width], b[b_at + size : b_at + size + width]
    out_re, out_im = out[out_at : out_at + width], out[out_at + size : out_at + size + width]
    for n in range(len(a_re)):
        re, im = x_re[n], x_im[n]
        out_re[n] = a_re[n] * re - a_im[n] * im + b_re[n]
        out_im[n] = a_re[n] * im + a_im[n] * re + b_im[n]


@parallel
def _backward(a, x, initial, grad_x, grad_b, adjoint, grad_a, width):
    batch, length, directions, _, size = x.shape
    slices = (size + width - 1) // width
    for task in numba.prange(batch * slices):
        i, low = task // slices, (task % slices) * width
        high = min(low + width, size)
        a_re, a_im = a[0, low:high], a[1, low:high]
        sum_re, sum_im = grad_a[i, 0, low:high], grad_a[i, 1, low:high]
        states, grads, out = x[i].reshape(-1), grad_x[i].reshape(-1), grad_b[i].reshape(-1)
        for d in range(directions):
            s_re, s_im = adjoint[i, d, 0, low:high], adjoint[i, d, 1, low:high]
            for k in range(length):
                step, earlier = (length - 1 - k, length - 2 - k) if d == 0 else (k, k + 1)
                row = (step * directions + d) * 2 * size + low
                to = step * 2 * size + low
                _retreat(a_re, a_im, grads, row, s_re, s_im, out, to, d == 1, size)
                if k < length - 1:
                    _correlate(s_re, s_im, states, (earlier * directions + d) * 2 * size + low, sum_re, sum_im, size)
                else:
                    _correlate(s_re, s_im, initial[i, d].reshape(-1), low, sum_re, sum_im, size)


@inline
def _retreat(a_re, a_im, grad, grad_at, s_re, s_im, out, out_at, add, size):
    """s = grad + conj(a) s on one slice; out = s, or out += s where `add`; grad and out are flat."""
    width = len(a_re)
    grad_re, grad_im = grad[grad_at : grad_at + width], grad[grad_at + size : grad_at + size + width]
    out_re, out_im = out[out_at : out_at + width], out[out_at + size : out_at + size + width]
    for n in range(len(a_re)):
        re = grad_re[n] + a_re[n] * s_re[n] + a_im[n] * s_im[n]
        im = grad_im[n] + a_re[n] * s_im[n] - a_im[n] * s_re[n]
        s_re[n] = re
        s_im[n] = im
        out_re[n] = out_re[n] + re if add else re
        out_im[n] = out_im[n] + im if add else im


@inline
def _correlate(s_re, s_im, x, x_at, sum_re, sum_im, size):
    """sum += s conj(x) on one slice of the state; x is flat."""
    width = len(s_re)
    x_re, x_im = x[x_at : x_at + width], x[x_at + size : x_at + size + width]
    for n in range(len(s_re)):
        sum_re[n] += s_re[n] * x_re[n] + s_im[n] * x_im[n]
        sum_im[n] += s_im[n] * x_re[n] - s_re[n] * x_im[n]
