"""The transform of S4's kernel on the CPU in Numba, for a low-rank part of rank 1.

At each node the sums of the M channels with B and P, r(C, B) and r(C, P), and those of the low-rank part, r(P^*, B) and
r(P^*, P), are combined where they are made,

    (1 + iy/2) (r(C, B) - r(C, P) r(P^*, B) / (1 + r(P^*, P))),

and the backward pass makes them again. With the reciprocals q of `cauchy_cpu`, a pole's term in a sum is p iyq - s q. A
task is a feature and goes along the nodes by vector registers: q and iyq of every pole lie in the first-level cache,
sums in registers.
"""

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from longrange.kernels.cauchy_cpu import numerators, pole_gradients
from longrange.kernels.complex_lanes import (
    ROW,
    load,
    load_joined,
    minus,
    plus,
    spread_pair,
    store,
    store_joined,
    times,
    times_conjugate,
)
from longrange.kernels.lanes import LANES, lanes, nothing, put
from longrange.kernels.numba_tools import arrays, inline, parallel, part


def transform_forward(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """As `dplr_transform_reference` for rank 1, without gradients.

    Args:
        v: (M + 1, 2, 2, H, N).
        Lambda: (2, H, N).
        y: (K,).
    Returns:
        (M, H, K) complex.
    """
    rows, _, _, H, _ = v.shape
    out = v.new_empty(rows - 1, H, len(y), 2)
    _forward(*arrays(*_tables(v, Lambda), *_points(y), out.flatten(2)))
    return torch.view_as_complex(out)


def transform_backward(v: Tensor, Lambda: Tensor, y: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `transform_forward` in v and Lambda; grad is (M, H, K) complex."""
    rows, _, _, H, N = v.shape
    grad = torch.view_as_real(grad.resolve_conj()).flatten(2)
    weights, poles = _tables(v, Lambda)
    grad_weights, grad_poles = v.new_empty(weights.shape), v.new_empty(poles.shape)
    _backward(*arrays(weights, poles, *_points(y), grad, grad_weights, grad_poles))
    of_weights = grad_weights.view(H, rows, N, 2, 2).permute(1, 3, 4, 0, 2).flatten(0, 1)
    of_poles = grad_poles.view(H, N, 2).permute(2, 0, 1)
    grad_v, grad_Lambda = pole_gradients(v.flatten(0, 1), Lambda, of_weights, of_poles)
    return grad_v.view_as(v), grad_Lambda


def _tables(v: Tensor, Lambda: Tensor) -> tuple[Tensor, Tensor]:
    """2p and 2s of every row's two weights, (H, M + 1, 4 N), and the poles, (H, 2 N)."""
    rows, _, _, H, N = v.shape
    weights = numerators(v.flatten(0, 1), Lambda).view(rows, 2, 2, H, N)
    return weights.permute(3, 0, 4, 1, 2).flatten(2), Lambda.permute(1, 2, 0).flatten(1)


def _points(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y and y / 2, their last value repeated up to a multiple of the width, and a register of ones."""
    whole = pad(y.view(1, -1), (0, -len(y) % LANES), mode="replicate").view(-1)
    return whole, whole / 2, y.new_ones(LANES)


@parallel
def _forward(weights, poles, y, half, one, out):
    for h in numba.prange(len(poles)):
        _transform(weights[h], poles[h], y, half, one, out[:, h])


@part
def _transform(weights, poles, y, half, one, out):
    """One feature: weights (M + 1, 4 N), poles (2 N,), out (M, 2 K)."""
    q, whole = np.empty(len(poles) * ROW, y.dtype), np.empty((len(out), 2 * len(y)), y.dtype)
    for at in range(0, len(y), LANES):
        _reciprocals(poles, lanes(y, at), lanes(one, 0), q)
        ratio, _ = _low_rank(weights[-1], q, lanes(one, 0))
        for m in range(len(out)):
            with_B, with_P = _sums(weights[m], q)
            turned = times(minus(with_B, times(with_P, ratio)), (lanes(one, 0), lanes(half, at)))
            store_joined(whole[m], 2 * at, turned)
    out[:] = whole[:, : out.shape[1]]


@inline
def _reciprocals(poles, y, one, out):
    """q and iyq of every pole at LANES points."""
    for at in range(0, len(poles), 2):
        a, b = spread_pair(poles, at)
        re, im = a * a + (b - y) * (b + y), (a + a) * y
        inverse = one / (re * re + im * im)
        re, im = inverse * re, inverse * im
        store(out, at * ROW, (re, im))
        store(out, (at + 1) * ROW, (nothing(poles) - y * im, y * re))


@inline
def _sums(weights, q):
    """Both sums of a row of weights, (4 N,); parts of p and s apart, for more additions that need not wait."""
    zero = nothing(q)
    p_re = p_im = s_re = s_im = second_p_re = second_p_im = second_s_re = second_s_im = zero
    for at in range(0, len(weights), 4):
        re, im = load(q, at // 2 * ROW)
        y_re, y_im = load(q, (at // 2 + 1) * ROW)
        p, s = spread_pair(weights, at)
        p_re, p_im, s_re, s_im = p_re + p * y_re, p_im + p * y_im, s_re + s * re, s_im + s * im
        p, s = spread_pair(weights, at + 2)
        second_p_re, second_p_im = second_p_re + p * y_re, second_p_im + p * y_im
        second_s_re, second_s_im = second_s_re + s * re, second_s_im + s * im
    return (p_re - s_re, p_im - s_im), (second_p_re - second_s_re, second_p_im - second_s_im)


@inline
def _low_rank(weights, q, one):
    """r(P^*, B) / (1 + r(P^*, P)), and the reciprocal of the conjugate of what is below the line."""
    above, (re, im) = _sums(weights, q)
    re = one + re
    size = re * re + im * im
    inverse = re / size, im / size
    return times_conjugate(above, inverse), inverse


@parallel
def _backward(weights, poles, y, half, one, grad, grad_weights, grad_poles):
    for h in numba.prange(len(poles)):
        _transform_backward(weights[h], poles[h], y, half, one, grad[:, h], grad_weights[h], grad_poles[h])


@part
def _transform_backward(weights, poles, y, half, one, grad, grad_weights, grad_poles):
    """One feature, see `_transform`; the lanes of what is summed over the nodes are added up at the end."""
    q, of_sums = np.empty(len(poles) * ROW, y.dtype), np.empty((len(weights), 2 * ROW), y.dtype)
    whole = np.zeros((len(grad), 2 * len(y)), y.dtype)
    whole[:, : grad.shape[1]] = grad
    of_weights, of_poles = np.zeros((*weights.shape, LANES), y.dtype), np.zeros((*poles.shape, LANES), y.dtype)
    for at in range(0, len(y), LANES):
        _reciprocals(poles, lanes(y, at), lanes(one, 0), q)
        _uncombine(weights, q, (lanes(one, 0), lanes(half, at)), whole, at, of_sums)
        for n in range(len(poles) // 2):
            _retreat(weights, n, lanes(y, at), q, of_sums, of_weights, of_poles)
    for row in range(len(weights)):
        for i in range(weights.shape[1]):
            grad_weights[row, i] = of_weights[row, i].sum()
    for i in range(0, len(poles), 2):
        real, imaginary = of_poles[i].sum(), of_poles[i + 1].sum()
        grad_poles[i] = poles[i] * (real + real) - (imaginary + imaginary)
        grad_poles[i + 1] = poles[i + 1] * (real + real)


@inline
def _uncombine(weights, q, turn, grad, at, out):
    """Gradients in the sums at LANES nodes, (M + 1, 2 ROW), from those in their combinations."""
    M = len(grad)
    ratio, inverse = _low_rank(weights[M], q, turn[0])
    of_ratio = nothing(q), nothing(q)
    for m in range(M):
        _, with_P = _sums(weights[m], q)
        of_both = times_conjugate(load_joined(grad[m], 2 * at), turn)
        store(out[m], 0, of_both)
        of_product = minus((nothing(q), nothing(q)), of_both)
        store(out[m], ROW, times_conjugate(of_product, ratio))
        of_ratio = plus(of_ratio, times_conjugate(of_product, with_P))
    above = times(of_ratio, inverse)
    store(out[M], 0, above)
    store(out[M], ROW, minus((nothing(q), nothing(q)), times_conjugate(above, ratio)))


@inline
def _retreat(weights, n, y, q, grads, of_weights, of_poles):
    """Gradients of pole n's terms: in the weights, and in the parts of its q, from there those in the pole."""
    re, im = load(q, 2 * n * ROW)
    y_re, y_im = load(q, (2 * n + 1) * ROW)
    p_re = p_im = s_re = s_im = nothing(q)
    for row in range(len(weights)):
        for column in range(2):
            i = 4 * n + 2 * column
            g_re, g_im = load(grads[row], column * ROW)
            p, s = spread_pair(weights[row], i)
            p_re, p_im, s_re, s_im = p_re + p * g_re, p_im + p * g_im, s_re + s * g_re, s_im + s * g_im
            _add(of_weights[row, i], 0, g_re * y_re + g_im * y_im)
            _add(of_weights[row, i + 1], 0, nothing(q) - g_re * re - g_im * im)
    g_re, g_im = y * p_im - s_re, nothing(q) - y * p_re - s_im
    square_re, square_im = re * re - im * im, (re + re) * im
    _add(of_poles[2 * n], 0, nothing(q) - g_re * square_re - g_im * square_im)
    _add(of_poles[2 * n + 1], 0, y * (g_re * square_im - g_im * square_re))


@inline
def _add(out, at, value):
    put(out, at, lanes(out, at) + value)
