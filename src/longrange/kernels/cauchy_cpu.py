"""The Cauchy sums on the CPU in Numba: the terms are never stored, the backward pass computes them again.

A pole a + ib and its conjugate together, with weight v and at z = iy, are

    2 (z p - s) q,  p = Re v,  s = Re(v conj(a + ib)),  1/q = (z - a - ib)(z - a + ib) = a^2 + (b - y)(b + y) - 2iay,

so one complex reciprocal serves all J sums, with four multiply-adds each: iy times the sum of p q, minus that of s q,
with the factor in p and s. The factors b - y and b + y are exact to rounding where y is near the resonance b, which
the difference of the squares is not.

A task is a feature and goes along the points by vector registers: the q of every pole lie in the first-level cache,
sums in registers. They are made in pairs, for more additions that need not wait for one another.
"""

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from longrange.kernels.complex_vectors import ROW, broadcast_complex, load_complex, store_complex
from longrange.kernels.numba_tools import aligned, arrays, inline, internal, parallel
from longrange.kernels.vectors import LANES, load_vector, store_vector, zero_vector


def cauchy_forward(v: Tensor, Lambda: Tensor, y: Tensor) -> Tensor:
    """As `cauchy_reference`, without gradients."""
    J, _, H, _ = v.shape
    out = v.new_empty(J, 2, H, len(y))
    _forward(*arrays(*tables(v, Lambda), whole_vectors(y), y.new_ones(LANES), out))
    return out


def cauchy_backward(v: Tensor, Lambda: Tensor, y: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `cauchy_forward`.

    Args:
        v: (J, 2, H, N).
        Lambda: (2, H, N).
        y: (K,).
        grad: (J, 2, H, K).
    Returns:
        Gradients of v (J, 2, H, N) and Lambda (2, H, N).
    """
    weights, poles = tables(v, Lambda)
    grads = v.new_empty(weights.shape), v.new_empty(poles.shape)
    _backward(*arrays(weights, poles, whole_vectors(y), y.new_ones(LANES), grad, *grads))
    return table_gradients(v, Lambda, *grads)


def tables(v: Tensor, Lambda: Tensor) -> tuple[Tensor, Tensor]:
    """2p and 2s of both weights of each pair, (H, ceil(J / 2), 4 N), and the poles, (H, 2 N): a feature's lie together.

    The last of an odd number of sums has one of zeros beside it.
    """
    J, _, H, N = v.shape
    numerators = 2 * torch.stack([v[:, 0], v[:, 0] * Lambda[0] + v[:, 1] * Lambda[1]], dim=1)
    weights = pad(numerators, (0, 0, 0, 0, 0, 0, 0, J % 2)).view(-1, 2, 2, H, N).permute(3, 0, 4, 1, 2).flatten(2)
    return weights, Lambda.permute(1, 2, 0).flatten(1)


def table_gradients(v: Tensor, Lambda: Tensor, of_weights: Tensor, of_poles: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in v and Lambda from those in the `tables`, of the poles as the reciprocals alone read them."""
    J, _, H, N = v.shape
    of_p, of_s = (2 * of_weights.view(H, -1, N, 2, 2)).permute(4, 1, 3, 0, 2).flatten(1, 2)[:, :J]
    grad_v = torch.stack([of_p + Lambda[0] * of_s, Lambda[1] * of_s], dim=1)
    return grad_v, of_poles.view(H, N, 2).permute(2, 0, 1) + (v * of_s.unsqueeze(1)).sum(0)


def whole_vectors(y: Tensor) -> Tensor:
    """y with its last value repeated up to a multiple of the width."""
    return pad(y.view(1, -1), (0, -len(y) % LANES), mode="replicate").view(-1)


@parallel
def _forward(weights, poles, y, one, out):
    for h in numba.prange(len(poles)):
        _sum(weights[h], poles[h], y, one, out[:, :, h])


@internal
def _sum(weights, poles, y, one, out):
    """One feature: weights (ceil(J / 2), 4 N), poles (2 N,), out (J, 2, K)."""
    q, whole = aligned(y, len(poles) // 2 * ROW), np.empty((2 * len(weights), 2, len(y)), y.dtype)
    for at in range(0, len(y), LANES):
        reciprocals(poles, load_vector(y, at), load_vector(one, 0), q)
        for row in range(len(weights)):
            first, second = two_sums(weights[row], q, load_vector(y, at))
            _write(first, whole[2 * row], at)
            _write(second, whole[2 * row + 1], at)
    out[:] = whole[: len(out), :, : out.shape[2]]


@inline
def _write(number, parts, at):
    store_vector(parts[0], at, number[0])
    store_vector(parts[1], at, number[1])


@inline
def reciprocals(poles, y, one, out):
    """q of every pole at LANES points."""
    for n in range(len(poles) // 2):
        a, b = broadcast_complex(poles, 2 * n)
        re, im = a * a + (b - y) * (b + y), (a + a) * y
        inverse = one / (re * re + im * im)
        store_complex(out, n * ROW, (inverse * re, inverse * im))


@inline
def two_sums(weights, q, y):
    """Both sums of a row of weights, (4 N,), at LANES points."""
    zero = zero_vector(q)
    p_re = p_im = s_re = s_im = second_p_re = second_p_im = second_s_re = second_s_im = zero
    for at in range(0, len(weights), 4):
        re, im = load_complex(q, at // 4 * ROW)
        p, s = broadcast_complex(weights, at)
        p_re, p_im, s_re, s_im = p_re + p * re, p_im + p * im, s_re + s * re, s_im + s * im
        p, s = broadcast_complex(weights, at + 2)
        second_p_re, second_p_im = second_p_re + p * re, second_p_im + p * im
        second_s_re, second_s_im = second_s_re + s * re, second_s_im + s * im
    first = zero - y * p_im - s_re, y * p_re - s_im
    return first, (zero - y * second_p_im - second_s_re, y * second_p_re - second_s_im)


@parallel
def _backward(weights, poles, y, one, grad, grad_weights, grad_poles):
    for h in numba.prange(len(poles)):
        _sum_backward(weights[h], poles[h], y, one, grad[:, :, h], grad_weights[h], grad_poles[h])


@internal
def _sum_backward(weights, poles, y, one, grad, grad_weights, grad_poles):
    """One feature, see `_sum`."""
    q, of_sums = aligned(y, len(poles) // 2 * ROW), np.empty((len(weights), 2 * ROW), y.dtype)
    whole = np.zeros((2 * len(weights), 2, len(y)), y.dtype)
    whole[: len(grad), :, : grad.shape[2]] = grad
    of_weights, of_poles = registers(weights), registers(poles)
    for at in range(0, len(y), LANES):
        reciprocals(poles, load_vector(y, at), load_vector(one, 0), q)
        for j in range(len(whole)):
            store_complex(of_sums[j // 2], j % 2 * ROW, (load_vector(whole[j, 0], at), load_vector(whole[j, 1], at)))
        add_gradients(weights, load_vector(y, at), q, of_sums, of_weights, of_poles)
    sum_lanes(poles, of_weights, of_poles, grad_weights, grad_poles)


@inline
def registers(like):
    """Zeros in a vector register for every value of an array, none of them across two cache lines."""
    memory = aligned(like, like.size * LANES)
    memory[:] = 0
    return memory.reshape((*like.shape, LANES))


@inline
def add_gradients(weights, y, q, of_sums, of_weights, of_poles):
    """Adds the gradients at LANES points: in the weights, and in the parts of every q, from there those in the poles.

    Those of the sums are rows of pairs, (ceil(J / 2), 2 ROW). The lanes of what is summed over the points stay apart
    until `sum_lanes`.
    """
    for n in range(weights.shape[1] // 4):
        re, im = load_complex(q, n * ROW)
        y_re, y_im = y * re, y * im
        p_re = p_im = s_re = s_im = zero_vector(q)
        for row in range(len(weights)):
            for column in range(2):
                i = 4 * n + 2 * column
                g_re, g_im = load_complex(of_sums[row], column * ROW)
                p, s = broadcast_complex(weights[row], i)
                p_re, p_im, s_re, s_im = p_re + p * g_re, p_im + p * g_im, s_re + s * g_re, s_im + s * g_im
                _add(of_weights[row, i], g_im * y_re - g_re * y_im)
                _add(of_weights[row, i + 1], zero_vector(q) - g_re * re - g_im * im)
        g_re, g_im = y * p_im - s_re, zero_vector(q) - y * p_re - s_im
        square_re, square_im = re * re - im * im, (re + re) * im
        _add(of_poles[2 * n], zero_vector(q) - g_re * square_re - g_im * square_im)
        _add(of_poles[2 * n + 1], y * (g_re * square_im - g_im * square_re))


@inline
def _add(out, value):
    store_vector(out, 0, load_vector(out, 0) + value)


@inline
def sum_lanes(poles, of_weights, of_poles, grad_weights, grad_poles):
    """From the lanes that `add_gradients` leaves behind to gradients of weights and poles."""
    for row in range(len(of_weights)):
        for i in range(of_weights.shape[1]):
            grad_weights[row, i] = of_weights[row, i].sum()
    for i in range(0, len(poles), 2):
        real, imaginary = of_poles[i].sum(), of_poles[i + 1].sum()
        grad_poles[i] = poles[i] * (real + real) - (imaginary + imaginary)
        grad_poles[i + 1] = poles[i + 1] * (real + real)
