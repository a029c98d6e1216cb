"""The transform of S4's kernel on the CPU in Numba, for a low-rank part of rank 1.

At each node the sums of the M channels with B and P, r(C, B) and r(C, P), and those of the low-rank part, r(P^*, B) and
r(P^*, P), stay in the cache until they are combined,

    (1 + iy/2) (r(C, B) - r(C, P) r(P^*, B) / (1 + r(P^*, P))).

How a pole enters a sum is written in `cauchy_cpu`.
"""

import numba
import numpy as np
from torch import Tensor

from longrange.kernels.cauchy_cpu import add_pole, numerators, pole_gradients, pull, reciprocals, retreat
from longrange.kernels.numba_tools import arrays, inline, parallel

_TILE = 256  # nodes at a time: their sums stay in the first-level cache


def transform_forward(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """As `dplr_transform_reference` for rank 1, without gradients.

    Args:
        v: (M + 1, 2, 2, H, N).
        Lambda: (2, H, N).
        y: (K,).
    Returns:
        (M, 2, H, K), real and imaginary parts.
    """
    rows, _, _, H, _ = v.shape
    out = v.new_empty(rows - 1, 2, H, len(y))
    weights = numerators(v.flatten(0, 1), Lambda)
    _forward(*arrays(weights, Lambda, y, y / 2, y.new_ones(1), out), _TILE)
    return out


def transform_backward(v: Tensor, Lambda: Tensor, y: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `transform_forward` in v and Lambda; grad is (M, 2, H, K)."""
    weights = numerators(v.flatten(0, 1), Lambda)
    grad_weights, grad_Lambda = weights.new_zeros(weights.shape), Lambda.new_zeros(Lambda.shape)
    _backward(*arrays(weights, Lambda, y, y / 2, y.new_ones(1), grad, grad_weights, grad_Lambda), _TILE)
    grad_v, grad_Lambda = pole_gradients(v.flatten(0, 1), Lambda, grad_weights, grad_Lambda)
    return grad_v.view_as(v), grad_Lambda


@parallel
def _forward(weights, poles, y, half, one, out, width):
    J, _, H, _ = weights.shape
    tiles = (len(y) + width - 1) // width
    for task in numba.prange(H * tiles):
        h, low = task // tiles, (task % tiles) * width
        part = y[low : low + width]
        high = low + len(part)
        q, sums = np.empty((4, len(part)), y.dtype), np.zeros((J, 2, len(part)), y.dtype)
        _sums(weights, poles, h, part, q, sums)
        ratio = np.empty((2, len(part)), y.dtype)
        _ratio(sums[J - 2], sums[J - 1], one[0], ratio)
        for m in range(J // 2 - 1):
            both, low_rank = sums[2 * m], sums[2 * m + 1]
            to_re, to_im = out[m, 0, h, low:high], out[m, 1, h, low:high]
            _combine(both, low_rank, ratio, half[low:high], to_re, to_im)


@inline
def _sums(weights, poles, h, y, q, sums):
    """All Cauchy sums of one feature at the points y, added to `sums`."""
    for n in range(weights.shape[3]):
        reciprocals(poles[0, h, n], poles[1, h, n], y, q)
        for j in range(len(weights)):
            add_pole(weights[j, 0, h, n], weights[j, 1, h, n], q, sums[j, 0], sums[j, 1])


@inline
def _ratio(a, b, one, out):
    """a / (1 + b)."""
    a_re, a_im, b_re, b_im, out_re, out_im = a[0], a[1], b[0], b[1], out[0], out[1]
    for k in range(len(a_re)):
        re, im = b_re[k] + one, b_im[k]
        size = re * re + im * im
        out_re[k] = (a_re[k] * re + a_im[k] * im) / size
        out_im[k] = (a_im[k] * re - a_re[k] * im) / size


@inline
def _combine(a, b, ratio, half, out_re, out_im):
    """(1 + i half) (a - b ratio)."""
    a_re, a_im, b_re, b_im, r_re, r_im = a[0], a[1], b[0], b[1], ratio[0], ratio[1]
    for k in range(len(half)):
        re = a_re[k] - (b_re[k] * r_re[k] - b_im[k] * r_im[k])
        im = a_im[k] - (b_re[k] * r_im[k] + b_im[k] * r_re[k])
        out_re[k], out_im[k] = re - half[k] * im, im + half[k] * re


@parallel
def _backward(weights, poles, y, half, one, grad, grad_weights, grad_poles, width):
    J, _, H, N = weights.shape
    for h in numba.prange(H):
        for low in range(0, len(y), width):
            part = y[low : low + width]
            high = low + len(part)
            q, grad_q = np.empty((4, len(part)), y.dtype), np.empty((2, len(part)), y.dtype)
            sums, ratio = np.zeros((J, 2, len(part)), y.dtype), np.empty((2, len(part)), y.dtype)
            _sums(weights, poles, h, part, q, sums)
            _ratio(sums[J - 2], sums[J - 1], one[0], ratio)
            total = np.zeros((2, len(part)), y.dtype)
            for m in range(J // 2 - 1):
                g_re, g_im = grad[m, 0, h, low:high], grad[m, 1, h, low:high]
                _uncombine(g_re, g_im, ratio, half[low:high], sums[2 * m], sums[2 * m + 1], total)
            _unratio(total, ratio, one[0], sums[J - 2], sums[J - 1])
            for n in range(N):
                reciprocals(poles[0, h, n], poles[1, h, n], part, q)
                grad_q[:] = 0
                for j in range(J):
                    p, s = weights[j, 0, h, n], weights[j, 1, h, n]
                    grad_p, grad_s = retreat(p, s, part, q, sums[j, 0], sums[j, 1], grad_q)
                    grad_weights[j, 0, h, n] += grad_p
                    grad_weights[j, 1, h, n] += grad_s
                grad_re, grad_im = pull(poles[0, h, n], poles[1, h, n], part, q, grad_q)
                grad_poles[0, h, n] += grad_re
                grad_poles[1, h, n] += grad_im


@inline
def _uncombine(g_re, g_im, ratio, half, both, low_rank, total):
    """Gradients of `_combine`: in a and b written over them, that in the ratio added to `total`."""
    a_re, a_im, b_re, b_im = both[0], both[1], low_rank[0], low_rank[1]
    r_re, r_im, t_re, t_im = ratio[0], ratio[1], total[0], total[1]
    for k in range(len(half)):
        re, im = g_re[k] + half[k] * g_im[k], g_im[k] - half[k] * g_re[k]
        t_re[k] -= b_re[k] * re + b_im[k] * im
        t_im[k] -= b_re[k] * im - b_im[k] * re
        a_re[k], a_im[k] = re, im
        b_re[k] = -(r_re[k] * re + r_im[k] * im)
        b_im[k] = -(r_re[k] * im - r_im[k] * re)


@inline
def _unratio(total, ratio, one, a, b):
    """Gradients of `_ratio` in a and b, written over them, from that in the ratio."""
    a_re, a_im, b_re, b_im = a[0], a[1], b[0], b[1]
    r_re, r_im, t_re, t_im = ratio[0], ratio[1], total[0], total[1]
    for k in range(len(a_re)):
        re, im = b_re[k] + one, b_im[k]
        size = re * re + im * im
        g_re = (t_re[k] * re - t_im[k] * im) / size
        g_im = (t_im[k] * re + t_re[k] * im) / size
        a_re[k], a_im[k] = g_re, g_im
        b_re[k] = -(r_re[k] * g_re + r_im[k] * g_im)
        b_im[k] = -(r_re[k] * g_im - r_im[k] * g_re)
