"""What a chunk of STEPS steps needs of small dense systems, one per feature, and the way back; in Numba, on the CPU.

Features lie in slices of LANES, innermost. Of A, B, C and D a slice has, with T = STEPS,

    P = A^T;    X_t = A^t B, t <= T;    R_t = C A^t, t < T, of each direction and channel;
    K, the responses of a channel to inputs of the same chunk: row T - 1 + j to the one j steps before,
    C X_j, D besides where j = 0; row T - 1 - j to the one j steps later, C' X_{j-1} with C' of the second direction.

Powers are taken in double precision: an error in P counts once per chunk of the whole memory of a system.
"""

import torch
from torch import Tensor

from longrange.kernels.numba_tools import arrays, internal, llvm_inline, sequential
from longrange.kernels.vectors import LANES, load_vector, stack, store_vector, zero_vector

LARGEST = 8  # states
STEPS = 8  # of a chunk: fewer cost more products with its states, more cost more with each other
COLUMN = LARGEST * LANES
_MATRIX = LARGEST * COLUMN
_NOW = STEPS - 1  # the row of K for the input of the same step


def tables_forward(A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> tuple[Tensor, ...]:
    """P, X, R and K, float64.

    Args:
        A: (N, N, H), H in whole slices.
        B: (N, H).
        C: (directions, M, N, H).
        D: (M, H).
    Returns:
        Of S slices, innermost rows of LANES: (S, N N), (S, 1, (T + 1) N), (S, directions, M, T N) and (S, M, 2 T - 1).
    """
    (directions, M, N, _), S = C.shape, B.shape[1] // LANES
    shapes = (N * N,), (1, (STEPS + 1) * N), (directions, M, STEPS * N), (M, 2 * STEPS - 1)
    tables = [B.new_zeros(S, *shape[:-1], shape[-1] * LANES, dtype=torch.double) for shape in shapes]
    _forward(axes_of(B), *arrays(*(t.double() for t in (A.flatten(), B.flatten(), C.flatten(2), D)), *tables))
    return tuple(tables)


def tables_backward(A: Tensor, X: Tensor, R: Tensor, *grads: Tensor) -> tuple[Tensor, ...]:
    """Gradients of A, B, C and D from those of P, X, R and K, all float64; those of the tables are overwritten."""
    (_, directions, M, _), (_, N, H) = R.shape, A.shape
    grad_A, grad_B, grad_C, grad_D = (X.new_empty(s) for s in (N * N * H, N * H, (directions, M, N * H), (M, H)))
    _backward(axes_of(A), *arrays(A.double().flatten(), X, R, *grads, grad_A, grad_B, grad_C, grad_D))
    return grad_A.view(A.shape), grad_B.view(N, H), grad_C.unflatten(2, (N, H)), grad_D


def axes_of(x: Tensor) -> tuple[int, ...]:
    """As many numbers as x has rows: the length is part of a tuple's type, so that loops over states are compiled
    for it.
    """
    return (0,) * len(x)


@sequential
def _forward(axes, A, B, C, D, P, X, R, K):
    for s in range(len(P)):
        _slice_forward(axes, s * LANES, A, B, C, D, P[s], X[s, 0], R[s], K[s])


@internal
def _slice_forward(axes, low, A, B, C, D, P, X, R, K):
    H, N, a = D.shape[1], len(axes), stack(A, _MATRIX)
    copy(A, low, H, a, 0, LANES, N * N)
    _power(axes, a, P)
    copy(B, low, H, X, 0, LANES, N)
    for t in range(STEPS):
        add_product(axes, a, N, 1, X, t * N, X, (t + 1) * N)
    for m in range(len(D)):
        for d in range(len(C)):
            copy(C[d, m], low, H, R[d, m], 0, LANES, N)
            for t in range(STEPS - 1):
                add_product(axes, a, 1, N, R[d, m], t * N, R[d, m], (t + 1) * N)
            for j in range(d, STEPS):
                _add_dot(axes, R[d, m], 0, X, (j - d) * N, K[m], _row(j, d))
        now = _NOW * LANES
        store_vector(K[m], now, load_vector(K[m], now) + load_vector(D[m], low))


@sequential
def _backward(axes, A, X, R, grad_P, grad_X, grad_R, grad_K, grad_A, grad_B, grad_C, grad_D):
    for s in range(len(X)):
        grads = grad_P[s], grad_X[s, 0], grad_R[s], grad_K[s]
        _slice_backward(axes, s * LANES, A, X[s, 0], R[s], grads, grad_A, grad_B, grad_C, grad_D)


@internal
def _slice_backward(axes, low, A, X, R, grads, grad_A, grad_B, grad_C, grad_D):
    H, N, a, total = grad_D.shape[1], len(axes), stack(A, _MATRIX), stack(A, _MATRIX)
    grad_P, grad_X, grad_R, grad_K = grads
    copy(A, low, H, a, 0, LANES, N * N)
    clear(total, N * N)
    _power_backward(axes, a, grad_P, total)
    for m in range(len(grad_D)):
        copy(grad_K[m], _NOW * LANES, LANES, grad_D[m], low, H, 1)
        for d in range(len(grad_C)):
            _rows_backward(axes, a, X, R[d, m], d, grad_X, grad_R[d, m], grad_K[m], total)
            copy(grad_R[d, m], 0, LANES, grad_C[d, m], low, H, N)
    for t in range(STEPS, 0, -1):
        _add_outer(axes, grad_X, t * N, X, (t - 1) * N, total)
        add_product(axes, a, 1, N, grad_X, t * N, grad_X, (t - 1) * N)
    copy(grad_X, 0, LANES, grad_B, low, H, N)
    copy(total, 0, LANES, grad_A, low, H, N * N)


@internal
def _rows_backward(axes, a, X, r, d, grad_X, grad_r, grad_K, total):
    """From the gradients of K and of the rows C A^t of one channel to that of C, which is row 0."""
    N = len(axes)
    for j in range(d, STEPS):
        _add_scaled(axes, grad_K, _row(j, d), X, (j - d) * N, grad_r, 0)
        _add_scaled(axes, grad_K, _row(j, d), r, 0, grad_X, (j - d) * N)
    for t in range(STEPS - 1, 0, -1):
        _add_outer(axes, r, (t - 1) * N, grad_r, t * N, total)
        add_product(axes, a, N, 1, grad_r, t * N, grad_r, (t - 1) * N)


@llvm_inline
def _row(j, d):
    """The row of K for a lag of j steps in direction d."""
    return _NOW - j if d else _NOW + j


@internal
def _power(axes, a, out):
    """A^T by squaring; T is 8."""
    second, fourth, N = stack(a, _MATRIX), stack(a, _MATRIX), len(axes)
    clear(second, N * N)
    clear(fourth, N * N)
    _add_matrices(axes, a, second)
    _add_matrices(axes, second, fourth)
    _add_matrices(axes, fourth, out)


@internal
def _power_backward(axes, a, grad, total):
    """Adds the gradient of A from that of A^T."""
    second, fourth, N = stack(a, _MATRIX), stack(a, _MATRIX), len(axes)
    to_second, to_fourth = stack(a, _MATRIX), stack(a, _MATRIX)
    for x in (second, fourth, to_second, to_fourth):
        clear(x, N * N)
    _add_matrices(axes, a, second)
    _add_matrices(axes, second, fourth)
    _add_square_backward(axes, fourth, grad, to_fourth)
    _add_square_backward(axes, second, to_fourth, to_second)
    _add_square_backward(axes, a, to_second, total)


@internal
def _add_matrices(axes, a, out):
    """out += a a."""
    N = len(axes)
    for i in range(N):
        add_product(axes, a, 1, N, a, i * N, out, i * N)


@internal
def _add_square_backward(axes, a, grad, out):
    """out += grad a^T + a^T grad."""
    N = len(axes)
    for i in range(N):
        add_product(axes, a, N, 1, grad, i * N, out, i * N)
        _add_outer(axes, a, i * N, grad, i * N, out)


@llvm_inline
def copy(x, x_at, x_stride, out, out_at, out_stride, count):
    """One slice of each of so many rows, from one array to another."""
    for k in range(count):
        store_vector(out, out_at + k * out_stride, load_vector(x, x_at + k * x_stride))


@llvm_inline
def clear(x, count):
    """Zeros in so many rows."""
    for k in range(count):
        store_vector(x, k * LANES, zero_vector(x))


@llvm_inline
def add_product(axes, a, row, column, x, x_row, out, out_row):
    """out_i += sum_j a_ij x_j; entries of a are `row` and `column` slices apart: N and 1, or 1 and N for a^T."""
    for i in range(len(axes)):
        total = load_vector(out, (out_row + i) * LANES)
        for j in range(len(axes)):
            total += load_vector(a, (i * row + j * column) * LANES) * load_vector(x, (x_row + j) * LANES)
        store_vector(out, (out_row + i) * LANES, total)


@llvm_inline
def _add_outer(axes, x, x_row, y, y_row, out):
    """out_ij += x_i y_j."""
    N = len(axes)
    for i in range(N):
        _add_scaled(axes, x, x_row + i, y, y_row, out, i * N)


@llvm_inline
def _add_scaled(axes, factor, factor_row, x, x_row, out, out_row):
    """out_i += factor x_i for one row of factors."""
    now = load_vector(factor, factor_row * LANES)
    for i in range(len(axes)):
        at = (out_row + i) * LANES
        store_vector(out, at, load_vector(out, at) + now * load_vector(x, (x_row + i) * LANES))


@llvm_inline
def _add_dot(axes, x, x_row, y, y_row, out, out_row):
    """out += sum_i x_i y_i, one row."""
    total = load_vector(out, out_row * LANES)
    for i in range(len(axes)):
        total += load_vector(x, (x_row + i) * LANES) * load_vector(y, (y_row + i) * LANES)
    store_vector(out, out_row * LANES, total)
