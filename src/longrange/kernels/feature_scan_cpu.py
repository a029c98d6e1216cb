"""Small dense systems on the CPU, in Numba: features innermost, a slice of them in one vector register.

A task is one sequence and one slice of features. Steps are taken in chunks (see `feature_tables_cpu`): inputs of the
same chunk are answered directly, and one state per chunk and direction carries everything else, so that no step waits
for the one before it. The state handed to a chunk is the one that its first output reads: A x of the last step before
it in direction 0, that of the first step after it in direction 1, which walks from the last step to the first.

The number of states is the length of a tuple, known when the loops over them are compiled, so that sums stay in
registers. In a task's own memory each chunk is followed by zeros: lags may run over its end. Nothing but the tables is
kept for the backward pass, which walks through the states again.
"""

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from longrange.kernels.feature_tables_cpu import (
    COLUMN,
    STEPS,
    add_product,
    axes_of,
    clear,
    copy,
    tables_backward,
    tables_forward,
)
from longrange.kernels.numba_tools import arrays, internal, llvm_inline, parallel
from longrange.kernels.vectors import LANES, load_vector, stack, store_vector, zero_vector

_BLOCK = 4  # sums at a time: so many registers any machine has
_STRIDE = STEPS + _BLOCK - 1  # rows from one chunk to the next
_CHUNK, _SUMS = STEPS * LANES, _BLOCK * LANES
_GROUP = 8  # chunks that are correlated at a time: they stay in the first-level cache


def scan_forward(
    A: Tensor, B: Tensor, C: Tensor, D: Tensor, u: Tensor, bidirectional: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs, and the tables.

    Args:
        A: (N, N, H).
        B: (N, H).
        C: (directions M, N, H).
        D: (M, H).
        u: (B, L, H).
        bidirectional: two directions.
    Returns:
        (B, L, M, H), and what `tables_forward` returns, for the backward pass.
    """
    features = u.shape[-1]
    A, B, C, D, u = (_whole_slices(t) for t in (A, B, C, D, u))
    tables = tables_forward(A, B, C.unflatten(0, (1 + bidirectional, -1)), D)
    y = u.new_empty(*u.shape[:2], len(D), u.shape[2])
    v, states = _memory(u, 1), _memory_of_states(u, tables[2], len(B))
    _forward(axes_of(B), u.shape[1], *arrays(*(t.to(u.dtype) for t in tables), u.flatten(1), v, states, y.flatten(1)))
    return y[..., :features], tables


def scan_backward(A: Tensor, u: Tensor, tables: tuple[Tensor, ...], grad_y: Tensor) -> tuple[Tensor, ...]:
    """Gradients of A, B, C, D and u from those of the outputs of `scan_forward`."""
    features = u.shape[-1]
    A, u, grad_y = (_whole_slices(t) for t in (A, u, grad_y))
    P, X, R, K = (t.to(u.dtype) for t in tables)
    mirrored_K = K.unflatten(2, (-1, LANES)).flip(2).flatten(2)
    memory = _memory(u, 1), _memory(u, R.shape[2]), _memory_of_states(u, R, len(A)), _memory_of_states(u, R, len(A))
    totals = [u.new_zeros(len(u), *t.shape) for t in tables]  # of each sequence: the same with any number of threads
    grad_u = u.new_empty(u.shape)
    inputs = P, X, R, mirrored_K, u.flatten(1), grad_y.flatten(1)
    _backward(axes_of(A), u.shape[1], *arrays(*inputs, *memory, *totals, grad_u.flatten(1)))
    grad_A, grad_B, grad_C, grad_D = tables_backward(A, *tables[1:3], *(t.sum(0).double() for t in totals))
    grads = grad_A, grad_B, grad_C.flatten(0, 1), grad_D, grad_u
    return tuple(t[..., :features].to(u.dtype) for t in grads)


def _whole_slices(x: Tensor) -> Tensor:
    """Zeros after the last feature, up to a multiple of the width; x itself where there is nothing to add."""
    missing = -x.shape[-1] % LANES
    return pad(x, (0, missing)) if missing else x


def _memory(u: Tensor, channels: int) -> Tensor:
    """For a slice of sequences of each worker, (workers, channels, rows LANES)."""
    return u.new_empty(torch.get_num_threads(), channels, -(-u.shape[1] // STEPS) * _STRIDE * LANES)


def _memory_of_states(u: Tensor, R: Tensor, N: int) -> Tensor:
    """For a state of each chunk, (workers, directions, chunks N LANES)."""
    return u.new_empty(torch.get_num_threads(), R.shape[1], -(-u.shape[1] // STEPS) * N * LANES)


@parallel
def _forward(axes, L, P, X, R, K, u, v, states, y):
    for worker in numba.prange(len(v)):
        _forward_tasks(axes, L, np.int64(worker), len(v), P, X, R, K, u, v[worker], states[worker], y)


@internal
def _forward_tasks(axes, L, first, stride, P, X, R, K, u, v, states, y):
    """Every so many tasks, in memory of their own."""
    H = len(P) * LANES
    for task in range(first, len(u) * len(P), stride):
        i, s = task // len(P), task % len(P)
        _gather(u[i], s * LANES, H, L, v[0])
        _run_states(axes, P[s], X[s], v, states)
        _answer(axes, L, H, R[s], K[s], v[0], states, y[i], s * LANES)


@internal
def _run_states(axes, P, X, v, states):
    """The state handed to every chunk."""
    N = len(axes)
    for d in range(len(states)):
        _sweep(axes, P, N, 1, X, 1 - d, v, states[d], d == 0)


@internal
def _answer(axes, L, H, R, K, v, states, y, low):
    """The outputs of one slice, by chunks."""
    M, out = len(K), stack(v, _CHUNK)
    for c in range(-(-L // STEPS)):
        for m in range(M):
            clear(out, STEPS)
            _convolve(K[m], v, c * _STRIDE, out, len(R), True)
            for d in range(len(R)):
                _respond(axes, R[d, m], 0, states[d], c * len(axes), out, d == 1)
            copy(out, 0, LANES, y, (c * STEPS * M + m) * H + low, M * H, min(STEPS, L - c * STEPS))


@parallel
def _backward(axes, L, P, X, R, mirrored_K, u, grad_y, v, g, states, ends, grad_P, grad_X, grad_R, grad_K, grad_u):
    for worker in numba.prange(len(v)):
        tables, memory = (P, X, R, mirrored_K), (v[worker], g[worker], states[worker], ends[worker])
        grads = grad_P, grad_X, grad_R, grad_K
        _backward_tasks(axes, L, np.int64(worker), len(v), tables, memory, u, grad_y, grads, grad_u)


@internal
def _backward_tasks(axes, L, first, stride, tables, memory, u, grad_y, grads, grad_u):
    """Every so many tasks, in memory of their own."""
    (P, X, R, mirrored_K), (v, g, states, ends) = tables, memory
    grad_P, grad_X, grad_R, grad_K = grads
    H, M, chunks = len(P) * LANES, len(g), -(-L // STEPS)
    for task in range(first, len(u) * len(P), stride):
        i, s = task // len(P), task % len(P)
        _gather(u[i], s * LANES, H, L, v[0])
        for m in range(M):
            _gather(grad_y[i], m * H + s * LANES, M * H, L, g[m])
        _run_states(axes, P[s], X[s], v, states)
        _return_states(axes, P[s], R[s], g, ends)
        _answer_back(axes, L, H, X[s], mirrored_K[s], g, ends, grad_u[i], s * LANES)
        for c in range(0, chunks, _GROUP):
            group = grad_P[i, s], grad_X[i, s], grad_R[i, s], grad_K[i, s]
            _correlate_group(axes, v[0], g, states, ends, c, min(_GROUP, chunks - c), group)


@internal
def _return_states(axes, P, R, g, ends):
    """The gradient of the state that every chunk hands on."""
    N = len(axes)
    for d in range(len(ends)):
        _sweep(axes, P, 1, N, R[d], 0, g, ends[d], d == 1)


@internal
def _answer_back(axes, L, H, X, mirrored_K, g, ends, grad_u, low):
    """The gradient of the inputs of one slice, by chunks."""
    out = stack(g, _CHUNK)
    for c in range(-(-L // STEPS)):
        clear(out, STEPS)
        for m in range(len(g)):
            _convolve(mirrored_K[m], g[m], c * _STRIDE, out, len(ends), False)
        for d in range(len(ends)):
            _respond(axes, X[0], 1 - d, ends[d], c * len(axes), out, d == 0)
        copy(out, 0, LANES, grad_u, c * STEPS * H + low, H, min(STEPS, L - c * STEPS))


@internal
def _correlate_group(axes, v, g, states, ends, c, count, grads):
    """Adds what some chunks contribute to the gradients of the tables."""
    N, (grad_P, grad_X, grad_R, grad_K) = len(axes), grads
    for d in range(len(states)):
        for i in range(N):
            _correlate(axes, ends[d], c * N + i, N, states[d], c * N, count, grad_P, i * N)
        for t in range(STEPS):
            behind = STEPS - 1 - t
            row = t if d else behind + 1
            _correlate(axes, v, c * _STRIDE + t, _STRIDE, ends[d], c * N, count, grad_X[0], row * N)
            for m in range(len(g)):
                row = behind if d else t
                _correlate(axes, g[m], c * _STRIDE + t, _STRIDE, states[d], c * N, count, grad_R[d, m], row * N)
    for m in range(len(g)):
        for lag in range(0, STEPS, _BLOCK):
            _correlate_lags(g[m], v, c * _STRIDE, lag, count, grad_K[m], 1)
            if len(states) == 2:
                _correlate_lags(v, g[m], c * _STRIDE, lag + 1, count, grad_K[m], -1)


@llvm_inline
def _gather(x, first, stride, L, out):
    """A slice of each step, by chunks; zeros between them and after the last step."""
    for c in range(-(-L // STEPS)):
        count, row = min(STEPS, L - c * STEPS), c * _STRIDE
        copy(x, first + c * STEPS * stride, stride, out, row * LANES, LANES, count)
        for k in range(count, _STRIDE):
            store_vector(out, (row + k) * LANES, zero_vector(out))


@llvm_inline
def _sweep(axes, P, row, column, weights, first, inputs, states, ascending):
    """x' = P x + sum_t w_t v_t from chunk to chunk, keeping each x; the w_t are rows from `first` on, or up to it."""
    N, chunks = len(axes), len(states) // (len(axes) * LANES)
    x, sums = stack(states, COLUMN), stack(states, COLUMN)
    clear(x, N)
    for k in range(chunks):
        c = k if ascending else chunks - 1 - k
        copy(x, 0, LANES, states, c * N * LANES, LANES, N)
        clear(sums, N)
        for m in range(len(inputs)):
            for t in range(STEPS):
                now = load_vector(inputs[m], (c * _STRIDE + t) * LANES)
                weight = (first + (STEPS - 1 - t if ascending else t)) * N
                for i in range(N):
                    total = load_vector(sums, i * LANES) + load_vector(weights[m], (weight + i) * LANES) * now
                    store_vector(sums, i * LANES, total)
        add_product(axes, P, row, column, x, 0, sums, 0)
        copy(sums, 0, LANES, x, 0, LANES, N)


@llvm_inline
def _convolve(K, inputs, row, out, directions, forward):
    """out_t += sum_s K_{t-s} v_s within a chunk; of one direction only those s that can be felt at t."""
    if directions == 2:
        for block in range(0, STEPS, _BLOCK):
            _convolve_block(K, inputs, row, out, block)
        return
    for t in range(STEPS):
        total = load_vector(out, t * LANES)
        for s in range(0 if forward else t, t + 1 if forward else STEPS):
            total += load_vector(K, (STEPS - 1 + t - s) * LANES) * load_vector(inputs, (row + s) * LANES)
        store_vector(out, t * LANES, total)


@llvm_inline
def _convolve_block(K, inputs, row, out, block):
    """Some outputs at a time, from all inputs of the chunk."""
    sums = stack(out, _SUMS)
    copy(out, block * LANES, LANES, sums, 0, LANES, _BLOCK)
    for s in range(STEPS):
        now = load_vector(inputs, (row + s) * LANES)
        for k in range(_BLOCK):
            total = load_vector(sums, k * LANES) + load_vector(K, (STEPS - 1 + block + k - s) * LANES) * now
            store_vector(sums, k * LANES, total)
    copy(sums, 0, LANES, out, block * LANES, LANES, _BLOCK)


@llvm_inline
def _respond(axes, weights, first, state, state_row, out, mirrored):
    """out_t += w_t x for the state x of a chunk, the w_t in the order of time or against it."""
    N = len(axes)
    for t in range(STEPS):
        total, weight = load_vector(out, t * LANES), (first + (STEPS - 1 - t if mirrored else t)) * N
        for i in range(N):
            total += load_vector(weights, (weight + i) * LANES) * load_vector(state, (state_row + i) * LANES)
        store_vector(out, t * LANES, total)


@llvm_inline
def _correlate(axes, g, g_row, g_stride, x, x_row, count, out, out_row):
    """out_i += sum_c g_c x_ci, for one row of g and a state of x in each chunk."""
    N, sums = len(axes), stack(g, COLUMN)
    copy(out, out_row * LANES, LANES, sums, 0, LANES, N)
    for c in range(count):
        now = load_vector(g, (g_row + c * g_stride) * LANES)
        for i in range(N):
            total = load_vector(sums, i * LANES) + now * load_vector(x, (x_row + c * N + i) * LANES)
            store_vector(sums, i * LANES, total)
    copy(sums, 0, LANES, out, out_row * LANES, LANES, N)


@llvm_inline
def _correlate_lags(later, earlier, row, lag, count, out, sign):
    """out_j += sum of later_{s+j} earlier_s within each chunk, for some lags from `lag` on."""
    sums = stack(out, _SUMS)
    clear(sums, _BLOCK)
    for c in range(count):
        for s in range(STEPS - lag):
            at = row + c * _STRIDE + s
            now = load_vector(earlier, at * LANES)
            for k in range(_BLOCK):
                total = load_vector(sums, k * LANES) + load_vector(later, (at + lag + k) * LANES) * now
                store_vector(sums, k * LANES, total)
    for k in range(min(_BLOCK, STEPS - lag)):
        at = (STEPS - 1 + sign * (lag + k)) * LANES
        store_vector(out, at, load_vector(out, at) + load_vector(sums, k * LANES))
