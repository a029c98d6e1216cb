"""A diagonal system of few states, from inputs to outputs, in Numba on the CPU.

A task is a segment of one sequence. Tasks first run through their segments from a state of zero; the states that
segments hand to one another follow from where each of these walks ends, and with them the segments are run through
again, now for outputs. Products are taken for a tile of steps at a time, whose rows stay in the first-level cache. The
backward pass goes the same way. Sums are those of a segment, so they do not depend on the number of threads.
"""

import math

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, embedded, parallel, part
from longrange.kernels.operations import tell_products
from longrange.kernels.products_cpu import add_matrix_product
from longrange.kernels.scan_cpu import HALF, drain, walk, walk_back

_SEGMENT = 512  # steps
_TILE = 64


def scan_forward(
    A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor, u: Tensor, bidirectional: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As `mimo_scan_reference`, without gradients.

    Returns:
        Outputs, (B, L, H); and for the backward pass the states, (B, L, directions, 2, p), and those that are handed to
        each segment, (B, segments, directions, 2, p).
    """
    batch, length, _ = u.shape
    each = 1 + bidirectional, *A_bar.shape
    Bu, x = u.new_empty(batch, length, *A_bar.shape), u.new_empty(batch, length, *each)
    handed, y = u.new_zeros(batch, -(-length // _SEGMENT), *each), u.new_empty(u.shape)
    tell_products(_operations(u, x), u.dtype)
    _forward(*arrays(A_bar, B_bar.T, C.T, D, u, Bu, handed, x, y))
    return y, x, handed


def scan_backward(
    A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor, u: Tensor, x: Tensor, handed: Tensor, grad_y: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of A_bar, B_bar, C, D and u from those of the outputs."""
    grad_x, grad_Bu, grad_u = torch.empty_like(x), u.new_empty(*u.shape[:2], *A_bar.shape), u.new_empty(u.shape)
    adjoint, segments = torch.zeros_like(handed), handed.shape[:2].numel()
    totals = [u.new_zeros(segments, *t.shape) for t in (A_bar, B_bar, C.T, D)]
    tell_products(2 * _operations(u, x), u.dtype)
    _backward(*arrays(A_bar, B_bar, C, D, u, x, handed, grad_y, grad_x, grad_Bu, adjoint, *totals, grad_u))
    grad_A, grad_B, grad_C, grad_D = (t.sum(0) for t in totals)
    return grad_A, grad_B, grad_C.T, grad_D, grad_u


def _operations(u: Tensor, x: Tensor) -> int:
    """Of B u and of C x, for all directions."""
    directions, *parts = x.shape[2:]
    return 2 * u.numel() * (1 + directions) * math.prod(parts)


@embedded
def _segment(task, segments):
    """The sequence of a task, which of its segments, and the steps of that."""
    s = task % segments
    return task // segments, s, slice(s * _SEGMENT, (s + 1) * _SEGMENT)


@parallel
def _forward(A, B, C, D, u, Bu, handed, x, y):
    segments = handed.shape[1]
    for task in numba.prange(len(u) * segments):
        i, s, steps = _segment(np.int64(task), segments)
        _enter(A, B, u[i, steps], Bu[i, steps], x[i, steps], handed[i, s])
    for i in numba.prange(len(u)):
        _hand_on(A, handed[i], x.shape[1], False)
    for task in numba.prange(len(u) * segments):
        i, s, steps = _segment(np.int64(task), segments)
        _answer(A, C, D, u[i, steps], Bu[i, steps], x[i, steps], handed[i, s], y[i, steps])


@part
def _enter(A, B, u, Bu, x, state):
    """B u of a segment; and the state that it leaves behind in each direction, if it finds zeros."""
    rows = Bu.reshape(len(u), -1)
    for low in range(0, len(u), _TILE):
        tile = slice(low, low + _TILE)
        rows[tile] = 0
        add_matrix_product(u[tile], B, rows[tile])
    for d in range(len(state)):
        walk(HALF, 0, A.shape[1], A, Bu, state[d], x, d)
        state[d] = x[-1 if d == 0 else 0, d]


@part
def _answer(A, C, D, u, Bu, x, state, y):
    """States and outputs of a segment, from the state that it finds in each direction."""
    for d in range(len(state)):
        walk(HALF, 0, A.shape[1], A, Bu, state[d], x, d)
    rows = x.reshape(len(x), -1)
    for low in range(0, len(u), _TILE):
        tile = slice(low, low + _TILE)
        _scale(D, u[tile], y[tile])
        add_matrix_product(rows[tile], C, y[tile])


@embedded
def _scale(D, u, y):
    for k in range(len(u)):
        row, out = u[k], y[k]
        for n in range(len(D)):
            out[n] = D[n] * row[n]


@part
def _hand_on(A, states, length, mirrored):
    """From what each segment leaves behind, if it finds zeros, to what it finds; mirrored: for the adjoint."""
    segments, directions, _, size = states.shape
    for d in range(directions):
        ascending = (d == 0) != mirrored
        for n in range(size):
            pole, state = complex(A[0, n], -A[1, n] if mirrored else A[1, n]), 0j
            for k in range(segments):
                s = k if ascending else segments - 1 - k
                left = complex(states[s, d, 0, n], states[s, d, 1, n])
                states[s, d, 0, n], states[s, d, 1, n] = state.real, state.imag
                state = _power(pole, min(_SEGMENT, length - s * _SEGMENT)) * state + left


@embedded
def _power(base, exponent):
    """By squaring, in double precision: an error counts once per segment of the whole memory of a state."""
    power = 1 + 0j
    while exponent:
        if exponent & 1:
            power *= base
        base *= base
        exponent >>= 1
    return power


@parallel
def _backward(A, B, C, D, u, x, handed, grad_y, grad_x, grad_Bu, adjoint, grad_A, grad_B, grad_C, grad_D, grad_u):
    segments = handed.shape[1]
    for task in numba.prange(len(u) * segments):
        i, s, steps = _segment(np.int64(task), segments)
        _enter_back(A, C, x[i, steps], grad_y[i, steps], grad_x[i, steps], adjoint[i, s], grad_C[task])
    for i in numba.prange(len(u)):
        _hand_on(A, adjoint[i], x.shape[1], True)
    for task in numba.prange(len(u) * segments):
        i, s, steps = _segment(np.int64(task), segments)
        walked = A, x[i, steps], handed[i, s], grad_x[i, steps], grad_Bu[i, steps], adjoint[i, s], grad_A[task]
        walk_back(HALF, 0, A.shape[1], *walked)
        _answer_back(
            B, D, u[i, steps], grad_Bu[i, steps], grad_y[i, steps], grad_B[task], grad_D[task], grad_u[i, steps]
        )


@part
def _enter_back(A, C, x, grad_y, grad_x, adjoint, grad_C):
    """Gradients of states as outputs alone read them, and of C; and the adjoint that a segment leaves behind."""
    states, grads = x.reshape(len(x), -1), grad_x.reshape(len(x), -1)
    for low in range(0, len(x), _TILE):
        tile = slice(low, low + _TILE)
        grads[tile] = 0
        add_matrix_product(grad_y[tile], C, grads[tile])
        add_matrix_product(states[tile].T, grad_y[tile], grad_C)
    for d in range(len(adjoint)):
        drain(HALF, 0, A.shape[1], A, grad_x, adjoint[d], d)


@part
def _answer_back(B, D, u, grad_Bu, grad_y, grad_B, grad_D, grad_u):
    """Gradients of inputs, B and D."""
    grads = grad_Bu.reshape(len(u), -1)
    for low in range(0, len(u), _TILE):
        tile = slice(low, low + _TILE)
        add_matrix_product(grads[tile].T, u[tile], grad_B)
        _scale(D, grad_y[tile], grad_u[tile])
        add_matrix_product(grads[tile], B, grad_u[tile])
        _correlate(grad_y[tile], u[tile], grad_D)


@embedded
def _correlate(g, u, total):
    for k in range(len(u)):
        row, factor = u[k], g[k]
        for n in range(len(total)):
            total[n] += factor[n] * row[n]
