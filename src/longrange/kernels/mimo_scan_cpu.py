"""A diagonal system from inputs to outputs, in Numba on the CPU.

Sequences are cut into segments. Each is first run through from a state of zero, and its last state alone is kept; the
states that segments hand to one another follow from these, and with them the segments are run through again, now for
outputs. States are never kept: inputs of the recurrence and handed states say what they are, and a second run costs
little beside the products. The backward pass goes the same way. A task is a number of segments, and sums are those of
a task: they do not depend on the number of threads.
"""

import math

import numba
import numpy as np
import torch
from torch import Tensor

from longrange.kernels.numba_tools import aligned, arrays, inline, internal, llvm_inline, parallel, tiles_of_a_task
from longrange.kernels.operations import tell_products
from longrange.kernels.pairs_cpu import paired_across, paired_down, paired_panels, sums_of, write_sums
from longrange.kernels.products_cpu import add_matrix_product, panels
from longrange.kernels.scan_cpu import HALF, WIDE, last_state, scan, scan_back
from longrange.kernels.vectors import LANES

_SEGMENT = 256  # steps


def scan_forward(
    A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor, u: Tensor, bidirectional: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """As `mimo_scan_reference`, without gradients; factors of products are of the type `dtype`.

    Returns:
        Outputs, (B, L, H); and for the backward pass B u, (B, L, 1, 2, p), of that type, and the states that are handed
        to each segment, (B, segments, directions, 2, p).
    """
    batch, length, _ = u.shape
    Bu, y = u.new_empty(batch, length, 1, *A_bar.shape, dtype=dtype), u.new_empty(u.shape)
    handed = u.new_zeros(batch, -(-length // _SEGMENT), 1 + bidirectional, *A_bar.shape)
    tell_products(_operations(u, handed), dtype)
    share = tiles_of_a_task(handed.shape[:2].numel())
    _forward(share, *arrays(A_bar, panels(B_bar.T), panels(C.T), D, u, Bu, handed, y))
    return y, Bu, handed


def scan_backward(
    A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor, u: Tensor, Bu: Tensor, handed: Tensor, grad_y: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of A_bar, B_bar, C, D and u from those of the outputs."""
    grad_x, grad_u = Bu.new_empty(*u.shape[:2], *handed.shape[2:]), u.new_empty(u.shape)
    conjugate, adjoint = A_bar * A_bar.new_tensor([[1], [-1]]), torch.zeros_like(handed)
    segments = handed.shape[:2].numel()
    share = tiles_of_a_task(segments)
    totals = [u.new_empty(-(-segments // share), *t.shape) for t in (A_bar, B_bar, C.T, D)]
    tell_products(2 * _operations(u, handed), Bu.dtype)
    _backward(
        share,
        *arrays(A_bar, conjugate, panels(B_bar), panels(C), D, u, Bu, handed, grad_y, grad_x, adjoint, *totals, grad_u),
    )
    grad_A, grad_B, grad_C, grad_D = (t.sum(0) for t in totals)
    return grad_A, grad_B, grad_C.T, grad_D, grad_u


def _operations(u: Tensor, states: Tensor) -> int:
    """Of B u and of C x, for all directions."""
    directions, *parts = states.shape[2:]
    return 2 * u.numel() * (1 + directions) * math.prod(parts)


@llvm_inline
def _segments(task, share, states):
    """Of a task: the first one and the one behind the last, counted over all sequences."""
    first = task * share
    return first, min(first + share, states.shape[0] * states.shape[1])


@llvm_inline
def _segment(k, states):
    """The sequence of a segment, which of its segments it is, and its steps."""
    s = k % states.shape[1]
    return k // states.shape[1], s, slice(s * _SEGMENT, (s + 1) * _SEGMENT)


@llvm_inline
def _states(like):
    """Memory for the states of a segment, each step's as `like`."""
    return aligned(like, _SEGMENT * like.size).reshape((_SEGMENT, *like.shape))


@inline
def _over_states(function, size, arguments):
    """Calls `function` for all states of a row, a multiple of 8, by registers."""
    low = size // LANES * LANES
    if low:
        function(WIDE, 0, low, *arguments)
    if low < size:
        function(HALF, low, size, *arguments)


@inline
def _run(A, Bu, handed, x):
    """The states of a segment in all directions, from those that it finds."""
    now = handed.copy()
    for d in range(len(handed)):
        _over_states(scan, A.shape[1], (A, Bu, now[d], x, d))


@parallel
def _forward(share, A, B, C, D, u, Bu, handed, y):
    B, C = paired_panels(B, Bu), paired_panels(C, Bu)
    tasks = (len(u) * handed.shape[1] + share - 1) // share
    for task in numba.prange(tasks):
        _enter(np.int64(task), share, A, B, u, Bu, handed)
    for i in numba.prange(len(u)):
        _hand_on(A, handed[i], u.shape[1], False)
    for task in numba.prange(tasks):
        _answer(np.int64(task), share, A, C, D, u, Bu, handed, y)


@internal
def _enter(task, share, A, B, u, Bu, states):
    """B u; and the state that each segment leaves behind in each direction, if it finds zeros."""
    first, last = _segments(task, share, states)
    for k in range(first, last):
        i, s, steps = _segment(k, states)
        inputs = Bu[i, steps]
        _write_product(u[i, steps], B, inputs.reshape(len(inputs), -1))
        for d in range(states.shape[2]):
            _over_states(last_state, A.shape[1], (A, inputs, states[i, s, d], 0, d == 0))


@llvm_inline
def _write_product(a, b, out):
    sums = sums_of(out)
    sums[:] = 0
    add_matrix_product(paired_across(a, out), b, sums)
    write_sums(sums, out)


@internal
def _answer(task, share, A, C, D, u, Bu, handed, y):
    """Outputs."""
    memory = _states(handed[0, 0])
    first, last = _segments(task, share, handed)
    for k in range(first, last):
        i, s, steps = _segment(k, handed)
        out = y[i, steps]
        x = memory[: len(out)]
        _run(A, Bu[i, steps], handed[i, s], x)
        _scale(D, u[i, steps], out)
        add_matrix_product(paired_across(x.reshape(len(x), -1), Bu), C, out)


@llvm_inline
def _scale(D, u, y):
    for k in range(len(u)):
        row, out = u[k], y[k]
        for n in range(len(D)):
            out[n] = D[n] * row[n]


@internal
def _hand_on(A, states, length, mirrored):
    """From what each segment leaves behind, if it finds zeros, to what it finds; mirrored: for the adjoint."""
    segments, directions, _, size = states.shape
    for n in range(size):
        pole = complex(np.float64(A[0, n]), np.float64(A[1, n]))
        whole, rest = _power(pole, _SEGMENT), _power(pole, length - (segments - 1) * _SEGMENT)
        for d in range(directions):
            ascending, state = (d == 0) != mirrored, 0j
            for k in range(segments):
                s = k if ascending else segments - 1 - k
                left = complex(states[s, d, 0, n], states[s, d, 1, n])
                states[s, d, 0, n], states[s, d, 1, n] = state.real, state.imag
                state = (rest if s == segments - 1 else whole) * state + left


@llvm_inline
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
def _backward(
    share, A, conjugate, B, C, D, u, Bu, handed, grad_y, grad_x, adjoint, grad_A, grad_B, grad_C, grad_D, grad_u
):
    states = A, Bu, handed
    B, C = paired_panels(B, Bu), paired_panels(C, Bu)
    for task in numba.prange(len(grad_C)):
        _enter_back(np.int64(task), share, conjugate, C, grad_y, grad_x, adjoint)
    for i in numba.prange(len(u)):
        _hand_on(conjugate, adjoint[i], u.shape[1], True)
    for task in numba.prange(len(grad_C)):
        totals = grad_A[task], grad_B[task], grad_C[task], grad_D[task]
        _answer_back(np.int64(task), share, states, B, D, u, grad_y, grad_x, adjoint, totals, grad_u)


@internal
def _enter_back(task, share, conjugate, C, grad_y, grad_x, adjoint):
    """Gradients of states as outputs alone read them, and the adjoint that each segment leaves behind."""
    first, last = _segments(task, share, adjoint)
    for k in range(first, last):
        i, s, steps = _segment(k, adjoint)
        grads = grad_x[i, steps]
        _write_product(grad_y[i, steps], C, grads.reshape(len(grads), -1))
        for d in range(adjoint.shape[2]):
            _over_states(last_state, conjugate.shape[1], (conjugate, grads, adjoint[i, s, d], d, d == 1))


@internal
def _answer_back(task, share, states, B, D, u, grad_y, grad_x, adjoint, totals, grad_u):
    """Gradients of inputs and matrices."""
    (A, Bu, handed), (grad_A, grad_B, grad_C, grad_D) = states, totals
    memory, of_memory = _states(handed[0, 0]), _states(A)
    grad_A[:], grad_B[:], grad_C[:], grad_D[:] = 0, 0, 0, 0
    first, last = _segments(task, share, handed)
    for k in range(first, last):
        i, s, steps = _segment(k, handed)
        g, inputs, out = grad_y[i, steps], u[i, steps], grad_u[i, steps]
        x, grad_Bu = memory[: len(g)], of_memory[: len(g)]
        _scale(D, g, out)
        _correlate(g, inputs, grad_D)
        _run(A, Bu[i, steps], handed[i, s], x)
        add_matrix_product(paired_down(x.reshape(len(x), -1), Bu).T, paired_down(g, Bu), grad_C)
        for d in range(handed.shape[2]):
            _over_states(scan_back, A.shape[1], (A, x, grad_x[i, steps], grad_Bu, adjoint[i, s, d], grad_A, d))
        rows = grad_Bu.reshape(len(g), -1)
        add_matrix_product(paired_down(rows, Bu).T, paired_down(inputs, Bu), grad_B)
        add_matrix_product(paired_across(rows, Bu), B, out)


@llvm_inline
def _correlate(g, u, total):
    for k in range(len(u)):
        row, factor = u[k], g[k]
        for n in range(len(total)):
            total[n] += factor[n] * row[n]
