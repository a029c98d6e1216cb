"""The spectrum of S4's kernel on the CPU in Numba, from the parameters of a system whose low-rank part has rank 1.

At each node the sums of the M channels with B and P, r(C, B) and r(C, P), and those of the low-rank part, r(P^*, B) and
r(P^*, P), are combined where they are made,

    (1 + iy/2) (r(C, B) - r(C, P) r(P^*, B) / (1 + r(P^*, P))),

and the backward pass makes them again. Sums, tasks and registers are those of `cauchy_cpu`; a pair is one of B and P.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.cauchy_cpu import add_gradients, reciprocals, registers, sum_lanes, two_sums, whole_vectors
from longrange.kernels.complex_vectors import (
    ROW,
    load_interleaved,
    minus,
    plus,
    store_complex,
    store_interleaved,
    times,
    times_conjugate,
)
from longrange.kernels.numba_tools import aligned, arrays, inline, internal, parallel
from longrange.kernels.vectors import LANES, load_vector, zero_vector


def spectrum_forward(B: Tensor, C: Tensor, P: Tensor, Lambda: Tensor, dt: Tensor, y: Tensor, L: int) -> Tensor:
    """The transform of the kernels at frequencies up to L / 2.

    Args:
        B: (H, N) complex.
        C: (M, H, N) complex.
        P: (H, N) complex.
        Lambda: (H, N) complex.
        dt: (H,).
        y: `ssm.nodes` of L.
        L: steps.
    Returns:
        (M, H, L // 2 + 1) complex.
    """
    weights, poles = _tables(B, C, P, Lambda, dt)
    out = dt.new_empty(*C.shape[:2], L // 2 + 1, 2)
    _spectra(*arrays(weights, poles, *_points(y), out.flatten(2)), len(y))
    if L % 2 == 0:
        out[:, :, -1, 0], out[:, :, -1, 1] = _at_infinity(weights).sum(-1) / 2, 0
    return torch.view_as_complex(out)


def spectrum_backward(
    B: Tensor, C: Tensor, P: Tensor, Lambda: Tensor, dt: Tensor, y: Tensor, L: int, grad: Tensor
) -> list[Tensor]:
    """Gradients of `spectrum_forward` in B, C, P, Lambda and dt."""
    weights, poles = _tables(B, C, P, Lambda, dt)
    tables = torch.empty_like(weights), torch.empty_like(poles)
    grad = torch.view_as_real(grad.resolve_conj())
    _spectra_backward(*arrays(weights, poles, *_points(y), grad.flatten(2), *tables), len(y))
    if L % 2 == 0:
        _at_infinity(tables[0]).add_(grad[:, :, -1, :1] / 2)
    grads = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (B, C, P, Lambda, dt)]
    _tables_backward(*_arrays(B, C, P, Lambda, dt, *tables, *grads))
    return grads


def _tables(B: Tensor, C: Tensor, P: Tensor, Lambda: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Weights, (H, M + 1, 4 N), and poles, (H, 2 N): see `_fill_tables`."""
    M, H, N = C.shape
    weights, poles = dt.new_empty(H, M + 1, 4 * N), dt.new_empty(H, 2 * N)
    _fill_tables(*_arrays(B, C, P, Lambda, dt, weights, poles))
    return weights, poles


def _at_infinity(weights: Tensor) -> Tensor:
    """2p of C and B, (M, H, N): half its sum is the value at z = infinity, where the low-rank part vanishes."""
    return weights[:, :-1, ::4].transpose(0, 1)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Arrays with the parts of complex numbers side by side along the last axis."""
    return arrays(*(torch.view_as_real(x.resolve_conj()).flatten(-2) if x.is_complex() else x for x in tensors))


def _points(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y and y / 2 in whole registers, and a register of ones."""
    whole = whole_vectors(y)
    return whole, whole / 2, y.new_ones(LANES)


@parallel
def _fill_tables(B, C, P, Lambda, dt, weights, poles):
    """2p and 2s of each row C or P^* times each column B or P times dt, (H, M + 1, 4 N), and dt Lambda, (H, 2 N)."""
    for h in numba.prange(len(dt)):
        for i in range(0, poles.shape[1], 2):
            a, b = dt[h] * Lambda[h, i], dt[h] * Lambda[h, i + 1]
            poles[h, i], poles[h, i + 1] = a, b
            for row in range(weights.shape[1]):
                re, im = _row(C, P, row, h, i)
                out = weights[h, row, 2 * i : 2 * i + 4]
                _weigh(2 * dt[h] * re, 2 * dt[h] * im, B[h, i], B[h, i + 1], a, b, out, 0)
                _weigh(2 * dt[h] * re, 2 * dt[h] * im, P[h, i], P[h, i + 1], a, b, out, 2)


@inline
def _row(C, P, row, h, i):
    return (C[row, h, i], C[row, h, i + 1]) if row < len(C) else (P[h, i], -P[h, i + 1])


@inline
def _weigh(re, im, column_re, column_im, a, b, out, at):
    out[at] = re * column_re - im * column_im
    out[at + 1] = a * out[at] + b * (re * column_im + im * column_re)


@parallel
def _spectra(weights, poles, y, half, one, out, nodes):
    for h in numba.prange(len(poles)):
        _spectrum(weights[h], poles[h], y, half, one, out[:, h, : 2 * nodes])


@internal
def _spectrum(weights, poles, y, half, one, out):
    """One feature: weights (M + 1, 4 N), poles (2 N,), out (M, 2 K)."""
    q, whole = aligned(y, len(poles) // 2 * ROW), np.empty((len(out), 2 * len(y)), y.dtype)
    for at in range(0, len(y), LANES):
        reciprocals(poles, load_vector(y, at), load_vector(one, 0), q)
        ratio, _ = _low_rank(weights[-1], q, load_vector(y, at), load_vector(one, 0))
        for m in range(len(out)):
            with_B, with_P = two_sums(weights[m], q, load_vector(y, at))
            factor = load_vector(one, 0), load_vector(half, at)
            store_interleaved(whole[m], 2 * at, times(minus(with_B, times(with_P, ratio)), factor))
    out[:] = whole[:, : out.shape[1]]


@inline
def _low_rank(weights, q, y, one):
    """r(P^*, B) / (1 + r(P^*, P)), and the reciprocal of the conjugate of what is below the line."""
    above, (re, im) = two_sums(weights, q, y)
    re = one + re
    size = re * re + im * im
    inverse = re / size, im / size
    return times_conjugate(above, inverse), inverse


@parallel
def _spectra_backward(weights, poles, y, half, one, grad, grad_weights, grad_poles, nodes):
    for h in numba.prange(len(poles)):
        _spectrum_backward(weights[h], poles[h], y, half, one, grad[:, h, : 2 * nodes], grad_weights[h], grad_poles[h])


@internal
def _spectrum_backward(weights, poles, y, half, one, grad, grad_weights, grad_poles):
    """One feature, see `_spectrum`."""
    q, of_sums = aligned(y, len(poles) // 2 * ROW), np.empty((len(weights), 2 * ROW), y.dtype)
    whole = np.zeros((len(grad), 2 * len(y)), y.dtype)
    whole[:, : grad.shape[1]] = grad
    of_weights, of_poles = registers(weights), registers(poles)
    for at in range(0, len(y), LANES):
        reciprocals(poles, load_vector(y, at), load_vector(one, 0), q)
        factor = load_vector(one, 0), load_vector(half, at)
        _combine_backward(weights, q, load_vector(y, at), factor, whole, at, of_sums)
        add_gradients(weights, load_vector(y, at), q, of_sums, of_weights, of_poles)
    sum_lanes(poles, of_weights, of_poles, grad_weights, grad_poles)


@inline
def _combine_backward(weights, q, y, factor, grad, at, out):
    """Gradients in the sums at LANES nodes, (M + 1, 2 ROW), from those in their combinations."""
    M = len(grad)
    ratio, inverse = _low_rank(weights[M], q, y, factor[0])
    of_ratio = zero_vector(q), zero_vector(q)
    for m in range(M):
        _, with_P = two_sums(weights[m], q, y)
        of_both = times_conjugate(load_interleaved(grad[m], 2 * at), factor)
        store_complex(out[m], 0, of_both)
        of_product = minus((zero_vector(q), zero_vector(q)), of_both)
        store_complex(out[m], ROW, times_conjugate(of_product, ratio))
        of_ratio = plus(of_ratio, times_conjugate(of_product, with_P))
    above = times(of_ratio, inverse)
    store_complex(out[M], 0, above)
    store_complex(out[M], ROW, minus((zero_vector(q), zero_vector(q)), times_conjugate(above, ratio)))


@parallel
def _tables_backward(B, C, P, Lambda, dt, of_weights, of_poles, of_B, of_C, of_P, of_Lambda, of_dt):
    """Gradients in what the tables are made of; all but `of_poles` are zeros before."""
    for h in numba.prange(len(dt)):
        for i in range(0, of_poles.shape[1], 2):
            for row in range(of_weights.shape[1]):
                re, im = _row(C, P, row, h, i)
                of = of_weights[h, row, 2 * i : 2 * i + 4]
                a_re, a_im = _unweigh(of, 0, (re, im), B, h, i, Lambda, dt, of_B, of_poles, of_dt)
                b_re, b_im = _unweigh(of, 2, (re, im), P, h, i, Lambda, dt, of_P, of_poles, of_dt)
                if row < len(C):
                    of_C[row, h, i], of_C[row, h, i + 1] = a_re + b_re, a_im + b_im
                else:
                    of_P[h, i] += a_re + b_re
                    of_P[h, i + 1] -= a_im + b_im
            of_Lambda[h, i], of_Lambda[h, i + 1] = dt[h] * of_poles[h, i], dt[h] * of_poles[h, i + 1]
            of_dt[h] += of_poles[h, i] * Lambda[h, i] + of_poles[h, i + 1] * Lambda[h, i + 1]


@inline
def _unweigh(of, at, row, column, h, i, Lambda, dt, of_column, of_poles, of_dt):
    """Adds the gradients of one weight of one feature in the column, the pole and the time step; returns the row's."""
    (re, im), c_re, c_im = row, column[h, i], column[h, i + 1]
    product_re, product_im = re * c_re - im * c_im, re * c_im + im * c_re
    of_p, of_s = 2 * of[at], 2 * dt[h] * of[at + 1]
    g_re, g_im = of_p + of_s * Lambda[h, i], of_s * Lambda[h, i + 1]
    of_poles[h, i] += of_s * product_re
    of_poles[h, i + 1] += of_s * product_im
    of_dt[h] += g_re * product_re + g_im * product_im
    g_re, g_im = dt[h] * g_re, dt[h] * g_im
    of_column[h, i] += g_re * re + g_im * im
    of_column[h, i + 1] += g_im * re - g_re * im
    return g_re * c_re + g_im * c_im, g_im * c_re - g_re * c_im
