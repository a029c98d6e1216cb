"""The transform of S4's kernel on the CPU in Numba, for a low-rank part of rank 1.

At each node the sums of the M channels with B and P, r(C, B) and r(C, P), and those of the low-rank part, r(P^*, B) and
r(P^*, P), are combined where they are made,

    (1 + iy/2) (r(C, B) - r(C, P) r(P^*, B) / (1 + r(P^*, P))),

and the backward pass makes them again. Sums, tasks and registers are those of `cauchy_cpu`; a pair is one of B and P.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.cauchy_cpu import (
    add_up,
    reciprocals,
    retreat,
    table_gradients,
    tables,
    two_sums,
    whole_registers,
)
from longrange.kernels.complex_lanes import ROW, load_joined, minus, plus, store, store_joined, times, times_conjugate
from longrange.kernels.lanes import LANES, lanes, nothing
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
    _forward(*arrays(*tables(v.flatten(0, 1), Lambda), *_points(y), out.flatten(2)))
    return torch.view_as_complex(out)


def transform_backward(v: Tensor, Lambda: Tensor, y: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `transform_forward` in v and Lambda; grad is (M, H, K) complex."""
    grad = torch.view_as_real(grad.resolve_conj()).flatten(2)
    weights, poles = tables(v.flatten(0, 1), Lambda)
    grads = v.new_empty(weights.shape), v.new_empty(poles.shape)
    _backward(*arrays(weights, poles, *_points(y), grad, *grads))
    grad_v, grad_Lambda = table_gradients(v.flatten(0, 1), Lambda, *grads)
    return grad_v.view_as(v), grad_Lambda


def _points(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y and y / 2 in whole registers, and a register of ones."""
    whole = whole_registers(y)
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
        reciprocals(poles, lanes(y, at), lanes(one, 0), q)
        ratio, _ = _low_rank(weights[-1], q, lanes(one, 0))
        for m in range(len(out)):
            with_B, with_P = two_sums(weights[m], q)
            turned = times(minus(with_B, times(with_P, ratio)), (lanes(one, 0), lanes(half, at)))
            store_joined(whole[m], 2 * at, turned)
    out[:] = whole[:, : out.shape[1]]


@inline
def _low_rank(weights, q, one):
    """r(P^*, B) / (1 + r(P^*, P)), and the reciprocal of the conjugate of what is below the line."""
    above, (re, im) = two_sums(weights, q)
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
    """One feature, see `_transform`."""
    q, of_sums = np.empty(len(poles) * ROW, y.dtype), np.empty((len(weights), 2 * ROW), y.dtype)
    whole = np.zeros((len(grad), 2 * len(y)), y.dtype)
    whole[:, : grad.shape[1]] = grad
    of_weights, of_poles = np.zeros((*weights.shape, LANES), y.dtype), np.zeros((*poles.shape, LANES), y.dtype)
    for at in range(0, len(y), LANES):
        reciprocals(poles, lanes(y, at), lanes(one, 0), q)
        _uncombine(weights, q, (lanes(one, 0), lanes(half, at)), whole, at, of_sums)
        retreat(weights, lanes(y, at), q, of_sums, of_weights, of_poles)
    add_up(poles, of_weights, of_poles, grad_weights, grad_poles)


@inline
def _uncombine(weights, q, turn, grad, at, out):
    """Gradients in the sums at LANES nodes, (M + 1, 2 ROW), from those in their combinations."""
    M = len(grad)
    ratio, inverse = _low_rank(weights[M], q, turn[0])
    of_ratio = nothing(q), nothing(q)
    for m in range(M):
        _, with_P = two_sums(weights[m], q)
        of_both = times_conjugate(load_joined(grad[m], 2 * at), turn)
        store(out[m], 0, of_both)
        of_product = minus((nothing(q), nothing(q)), of_both)
        store(out[m], ROW, times_conjugate(of_product, ratio))
        of_ratio = plus(of_ratio, times_conjugate(of_product, with_P))
    above = times(of_ratio, inverse)
    store(out[M], 0, above)
    store(out[M], ROW, minus((nothing(q), nothing(q)), times_conjugate(above, ratio)))
