"""The Vandermonde product on the CPU in Numba: powers are never stored beyond a table of the first T of one pole.

With l = kT + t, c A_bar^l = (c A_bar^(kT)) A_bar^t: a step of one block of T is one complex multiplication, the rest
two multiply-adds per element. The table and the steps are in double precision, since the error of a power grows with
its exponent; sums are in the precision of the inputs.
"""

import math

import numba
import numpy as np
from torch import Tensor

from longrange.kernels.numba_tools import arrays, inline, parallel


def vandermonde_forward(c: Tensor, A_bar: Tensor, L: int) -> Tensor:
    """As `vandermonde_reference`, without gradients."""
    M, _, H, _ = c.shape
    out = c.new_zeros(M, H, L)
    _forward(*arrays(2 * c, A_bar, out), _table_length(L))
    return out


def vandermonde_backward(c: Tensor, A_bar: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `vandermonde_forward`.

    Args:
        c: (M, 2, H, N).
        A_bar: (2, H, N).
        grad: (M, H, L).
    Returns:
        Gradients of c (M, 2, H, N) and A_bar (2, H, N).
    """
    grad_c, grad_A = c.new_zeros(c.shape), A_bar.new_zeros(A_bar.shape)
    _backward(*arrays(2 * c, A_bar, grad, grad_c, grad_A), _table_length(grad.shape[-1]))
    return 2 * grad_c, grad_A


def _table_length(L: int) -> int:
    """T, a power of two near the square root of L: what the tables cost stays small beside the sums."""
    return 2 ** math.ceil(math.log2(L) / 2)


@parallel
def _forward(c, A_bar, out, T):
    M, _, H, N = c.shape
    L = out.shape[-1]
    for h in numba.prange(H):
        table, powers = np.empty((2, T)), np.empty((2, T), out.dtype)
        for n in range(N):
            jump = _powers(_double(A_bar[0, h, n], A_bar[1, h, n]), table)
            powers[:] = table
            for m in range(M):
                factor = _double(c[m, 0, h, n], c[m, 1, h, n])
                for low in range(0, L, T):
                    _add(factor, powers, out[m, h, low : low + T])
                    factor *= jump


@inline
def _double(re, im):
    """The complex number in double precision."""
    return complex(np.float64(re), np.float64(im))


@inline
def _powers(a, table):
    """Fills the table, real and imaginary parts, with a^t for t < T by doubling, and returns a^T."""
    re, im = table[0], table[1]
    re[0], im[0] = 1, 0
    size = 1
    while size < len(re):
        _multiply(a, re[:size], im[:size], re[size : 2 * size], im[size : 2 * size])
        a *= a
        size *= 2
    return a


@inline
def _multiply(a, re, im, out_re, out_im):
    """out = a x."""
    a_re, a_im = a.real, a.imag
    for t in range(len(re)):
        out_re[t] = a_re * re[t] - a_im * im[t]
        out_im[t] = a_re * im[t] + a_im * re[t]


@inline
def _add(factor, powers, out):
    """out += Re(factor powers), over as many powers as out has elements."""
    re, im = powers[0], powers[1]
    f_re, f_im = re.dtype.type(factor.real), re.dtype.type(factor.imag)
    for t in range(len(out)):
        out[t] += f_re * re[t] - f_im * im[t]


@parallel
def _backward(c, A_bar, grad, grad_c, grad_A, T):
    M, _, H, N = c.shape
    for h in numba.prange(H):
        table, sums = np.empty((2, T)), np.empty((4, T), grad.dtype)
        for n in range(N):
            a = _double(A_bar[0, h, n], A_bar[1, h, n])
            jump = _powers(a, table)
            before = complex(table[0, T - 1], table[1, T - 1])
            for m in range(M):
                _gather(jump, before, grad[m, h], sums)
                weight, slope = _contract(table, sums)
                slope *= _double(c[m, 0, h, n], c[m, 1, h, n])
                grad_c[m, 0, h, n], grad_c[m, 1, h, n] = weight.real, -weight.imag
                grad_A[0, h, n] += slope.real
                grad_A[1, h, n] -= slope.imag


@inline
def _gather(jump, before, grad, sums):
    """Over blocks k, at every t of a block: the sums of a^(kT) grad and of kT a^(kT - 1) grad.

    jump is a^T and before a^(T - 1): no division, so a may be zero.
    """
    sums[:] = 0
    T = sums.shape[1]
    power, slope = complex(1.0, 0.0), complex(0.0, 0.0)
    for low in range(0, len(grad), T):
        _spread(power, slope, grad[low : low + T], sums)
        slope = before * (low + T)
        power *= jump
        before *= jump


@inline
def _spread(power, slope, grad, sums):
    """The rows of sums, real and imaginary parts of each, += power * grad and slope * grad."""
    power_re, power_im = grad.dtype.type(power.real), grad.dtype.type(power.imag)
    slope_re, slope_im = grad.dtype.type(slope.real), grad.dtype.type(slope.imag)
    re, im, d_re, d_im = sums[0], sums[1], sums[2], sums[3]
    for t in range(len(grad)):
        re[t] += power_re * grad[t]
        im[t] += power_im * grad[t]
        d_re[t] += slope_re * grad[t]
        d_im[t] += slope_im * grad[t]


@inline
def _contract(table, sums):
    """Sums over t: of a^t times the first sums; of t a^(t - 1) times the first plus a^t times the second."""
    re, im, x_re, x_im, d_re, d_im = table[0], table[1], sums[0], sums[1], sums[2], sums[3]
    weight_re = weight_im = slope_re = slope_im = 0.0
    for t in range(len(re)):
        weight_re += re[t] * x_re[t] - im[t] * x_im[t]
        weight_im += re[t] * x_im[t] + im[t] * x_re[t]
        slope_re += re[t] * d_re[t] - im[t] * d_im[t]
        slope_im += re[t] * d_im[t] + im[t] * d_re[t]
    later_re, later_im = x_re[1:], x_im[1:]
    for t in range(len(later_re)):
        slope_re += (t + 1) * (re[t] * later_re[t] - im[t] * later_im[t])
        slope_im += (t + 1) * (re[t] * later_im[t] + im[t] * later_re[t])
    return complex(weight_re, weight_im), complex(slope_re, slope_im)
