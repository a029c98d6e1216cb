"""Small dense systems on the CPU, in Numba: features innermost, a slice of them in one vector register.

A task is one sequence and one slice of features. Within a chunk of steps it works on arrays of its own, rows of one
slice after another; the number of states is the length of a tuple, known when the loops over them are compiled, so
that matrices and sums stay in registers. The backward pass starts from states kept at the start of every chunk and
runs through the chunk again.

Direction 1 walks from the last step to the first. The output at a step reads the state after it in direction 0, the
one before it in direction 1. Direction 0 comes first and deals with D; direction 1 adds to what it finds.
"""

import numba
from torch import Tensor
from torch.nn.functional import pad

from longrange.kernels.lanes import LANES, lanes, nothing, put, stack
from longrange.kernels.numba_tools import arrays, inline, parallel, sequential

LARGEST = 8  # states
_STEPS = 32  # of a chunk: its states and their gradients stay in the first-level cache
_ONE = (0,)  # as a tuple of N numbers stands for N states: one row
_INPUTS = _STEPS * LANES
_COLUMN = LARGEST * LANES
_MATRIX = LARGEST * _COLUMN
_STATES = (_STEPS + 1) * _COLUMN


def scan_forward(A: Tensor, B: Tensor, C: Tensor, D: Tensor, u: Tensor, bidirectional: bool) -> tuple[Tensor, Tensor]:
    """Outputs, and the states at the start of every chunk.

    Args:
        A: (N, N, H).
        B: (N, H).
        C: (directions M, N, H).
        D: (M, H).
        u: (B, L, H).
        bidirectional: two directions.
    Returns:
        (B, L, M, H), and (B, directions, chunks, N, H') with H' features in whole slices.
    """
    features = u.shape[-1]
    A, B, C, D, u = (_whole_slices(t) for t in (A, B, C, D, u))
    C = C.unflatten(0, (1 + bidirectional, -1))
    batch, L, H = u.shape
    y = u.new_empty(batch, L, len(D), H)
    checkpoints = u.new_empty(batch, len(C), -(-L // _STEPS), len(B), H)
    _forward(_axes(B), *arrays(A, B, C, D, u, y, checkpoints))
    return y[..., :features], checkpoints


def scan_backward(
    A: Tensor, B: Tensor, C: Tensor, D: Tensor, u: Tensor, checkpoints: Tensor, grad_y: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the outputs of `scan_forward`, in the shapes of A, B, C, D and u."""
    features = u.shape[-1]
    A, B, C, D, u, grad_y = (_whole_slices(t) for t in (A, B, C, D, u, grad_y))
    C = C.unflatten(0, (checkpoints.shape[1], -1))
    totals = [t.new_zeros(len(u), *t.shape) for t in (A, B, C, D)]
    grad_u = u.new_empty(u.shape)
    _backward(_axes(B), *arrays(A, B, C, D, u, checkpoints, grad_y, *totals, grad_u))
    grad_A, grad_B, grad_C, grad_D = (t.sum(0) for t in totals)
    return tuple(t[..., :features] for t in (grad_A, grad_B, grad_C.flatten(0, 1), grad_D, grad_u))


def _whole_slices(x: Tensor) -> Tensor:
    """Zeros after the last feature, up to a multiple of the width; x itself where there is nothing to add."""
    missing = -x.shape[-1] % LANES
    return pad(x, (0, missing)) if missing else x


def _axes(B: Tensor) -> tuple[int, ...]:
    """A tuple of N numbers: its length is part of its type, so that the loops over states are compiled for it."""
    return (0,) * len(B)


@parallel
def _forward(axes, A, B, C, D, u, y, checkpoints):
    slices = u.shape[2] // LANES
    for task in numba.prange(len(u) * slices):
        i, low = task // slices, task % slices * LANES
        for d in range(len(C)):
            _run(axes, A, B, C[d], D, u[i], y[i], checkpoints[i, d], low, d)


@sequential
def _run(axes, A, B, C, D, u, y, checkpoints, low, d):
    """Outputs of one direction and one slice."""
    (L, H), N = u.shape, len(axes)
    a, b, c, weight = stack(u, _MATRIX), stack(u, _COLUMN), stack(u, _COLUMN), stack(u, LANES)
    x, v, out = stack(u, _STATES), stack(u, _INPUTS), stack(u, _INPUTS)
    _copy(A, low, H, a, 0, LANES, N * N)
    _copy(B, low, H, b, 0, LANES, N)
    _clear(x, N)
    for chunk in range(len(checkpoints)):
        start, stride, count = _steps(chunk, L, d)
        _copy(x, 0, LANES, checkpoints[chunk], low, H, N)
        _copy(u, start * H + low, stride * H, v, 0, LANES, count)
        _advance(axes, a, b, v, x, count)
        for m in range(len(C)):
            _copy(C[m], low, H, c, 0, LANES, N)
            at, row = (start * len(C) + m) * H + low, stride * len(C) * H
            if d == 0:
                _copy(D, m * H + low, H, weight, 0, LANES, 1)
                _clear(out, count)
                _collect(_ONE, weight, v, out, 0, count)
            else:
                _copy(y, at, row, out, 0, LANES, count)
            _emit(axes, c, x, (1 - d) * N, out, count)
            _copy(out, 0, LANES, y, at, row, count)
        _copy(x, count * N * LANES, LANES, x, 0, LANES, N)


@parallel
def _backward(axes, A, B, C, D, u, checkpoints, grad_y, grad_A, grad_B, grad_C, grad_D, grad_u):
    slices = u.shape[2] // LANES
    for task in numba.prange(len(u) * slices):
        i, low = task // slices, task % slices * LANES
        for d in range(len(C)):
            totals = grad_A[i], grad_B[i], grad_C[i, d], grad_D[i]
            _return(axes, A, B, C[d], D, u[i], checkpoints[i, d], grad_y[i], totals, grad_u[i], low, d)


@sequential
def _return(axes, A, B, C, D, u, checkpoints, grad_y, totals, grad_u, low, d):
    """Gradients of `_run`, added to the totals; s has those of the states x."""
    (L, H), N = u.shape, len(axes)
    a, b, c, weight = stack(u, _MATRIX), stack(u, _COLUMN), stack(u, _COLUMN), stack(u, LANES)
    x, s, carry = stack(u, _STATES), stack(u, _STATES), stack(u, _COLUMN)
    v, g, out = stack(u, _INPUTS), stack(u, _INPUTS), stack(u, _INPUTS)
    grad_A, grad_B, grad_C, grad_D = totals
    _copy(A, low, H, a, 0, LANES, N * N)
    _copy(B, low, H, b, 0, LANES, N)
    _clear(carry, N)
    for chunk in range(len(checkpoints) - 1, -1, -1):
        start, stride, count = _steps(chunk, L, d)
        _copy(checkpoints[chunk], low, H, x, 0, LANES, N)
        _copy(u, start * H + low, stride * H, v, 0, LANES, count)
        _advance(axes, a, b, v, x, count)
        _clear(s, count * N)
        _copy(carry, 0, LANES, s, count * N * LANES, LANES, N)
        if d == 0:
            _clear(out, count)
        else:
            _copy(grad_u, start * H + low, stride * H, out, 0, LANES, count)
        for m in range(len(C)):
            _copy(C[m], low, H, c, 0, LANES, N)
            _copy(grad_y, (start * len(C) + m) * H + low, stride * len(C) * H, g, 0, LANES, count)
            _collect(axes, c, g, s, (1 - d) * N, count)
            _correlate(axes, g, 0, 1, x, (1 - d) * N, count, grad_C[m], low, H)
            if d == 0:
                _copy(D, m * H + low, H, weight, 0, LANES, 1)
                _collect(_ONE, weight, g, out, 0, count)
                _correlate(_ONE, g, 0, 1, v, 0, count, grad_D[m], low, H)
        _retreat(axes, a, s, count)
        _emit(axes, b, s, N, out, count)
        _copy(out, 0, LANES, grad_u, start * H + low, stride * H, count)
        _correlate(axes, v, 0, 1, s, N, count, grad_B, low, H)
        for i in range(N):
            _correlate(axes, s, N + i, N, x, 0, count, grad_A[i], low, H)
        _copy(s, 0, LANES, carry, 0, LANES, N)


@inline
def _steps(chunk, L, d):
    """The first step of a chunk, the stride to the next one, and how many there are."""
    first = chunk * _STEPS
    count = min(_STEPS, L - first)
    return (first, 1, count) if d == 0 else (L - 1 - first, -1, count)


@inline
def _copy(x, x_at, x_stride, out, out_at, out_stride, count):
    """One slice of each of so many rows, from one array to another."""
    for k in range(count):
        put(out, out_at + k * out_stride, lanes(x, x_at + k * x_stride))


@inline
def _clear(x, count):
    """Zeros in so many rows."""
    for k in range(count):
        put(x, k * LANES, nothing(x))


@inline
def _advance(axes, a, b, v, x, count):
    """x_{k+1} = a x_k + b v_k."""
    N = len(axes)
    for k in range(count):
        now = lanes(v, k * LANES)
        for i in range(N):
            total = lanes(b, i * LANES) * now
            for j in range(N):
                total += lanes(a, (i * N + j) * LANES) * lanes(x, (k * N + j) * LANES)
            put(x, ((k + 1) * N + i) * LANES, total)


@inline
def _emit(axes, c, x, x_row, out, count):
    """out_k += c x_k, for x from a row on."""
    N = len(axes)
    for k in range(count):
        total = lanes(out, k * LANES)
        for j in range(N):
            total += lanes(c, j * LANES) * lanes(x, (x_row + k * N + j) * LANES)
        put(out, k * LANES, total)


@inline
def _collect(axes, c, g, s, s_row, count):
    """s_k += c g_k, for s from a row on."""
    N = len(axes)
    for k in range(count):
        now = lanes(g, k * LANES)
        for j in range(N):
            at = (s_row + k * N + j) * LANES
            put(s, at, lanes(s, at) + lanes(c, j * LANES) * now)


@inline
def _retreat(axes, a, s, count):
    """s_k += a^T s_{k+1}, from the last to the first."""
    N = len(axes)
    for k in range(count - 1, -1, -1):
        for j in range(N):
            total = lanes(s, (k * N + j) * LANES)
            for i in range(N):
                total += lanes(a, (i * N + j) * LANES) * lanes(s, ((k + 1) * N + i) * LANES)
            put(s, (k * N + j) * LANES, total)


@inline
def _correlate(axes, g, g_row, g_stride, x, x_row, count, out, low, H):
    """The slice of out += sum_k g_k x_k, for one row of g and all states of x in each step."""
    N = len(axes)
    sums = stack(g, _COLUMN)
    _clear(sums, N)
    for k in range(count):
        now = lanes(g, (g_row + k * g_stride) * LANES)
        for j in range(N):
            put(sums, j * LANES, lanes(sums, j * LANES) + now * lanes(x, (x_row + k * N + j) * LANES))
    for j in range(N):
        at = j * H + low
        put(out, at, lanes(out, at) + lanes(sums, j * LANES))
